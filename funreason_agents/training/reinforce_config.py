"""Settings of reinforcement learning. Free of torch, so that they can be checked anywhere."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from funreason_agents.training.config import CommonSettings


class ReinforceConfig(CommonSettings):
    """Settings of `reinforce`. The defaults are the EGPO paper's (section 4), save for the sizes.

    One optimizer step learns from `prompts_per_step * num_generations` rollouts. They are split
    into micro-batches of `batch_size` for each process, which changes nothing but memory and speed.

    Raises:
        pydantic.ValidationError: a setting is unknown, out of bounds, or does not fit another.
    """

    algorithm: Literal["egpo", "grpo"] = Field("egpo", description="How advantages are made.")
    lam: float = Field(0.4, ge=0, description="EGPO: weight of the entropy of the reasoning.")
    alpha: float = Field(2.0, gt=0, description="EGPO: the bonus is at most |advantage| / alpha.")
    beta: float = Field(0.001, ge=0, description="Weight of the divergence from the first model.")
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo"] = Field(
        "grpo", description="How the loss is averaged over tokens; grpo: first over each rollout."
    )
    temperature: float = Field(0.7, gt=0, description="Sampling temperature of the rollouts.")
    num_generations: int = Field(8, ge=2, le=256, description="Rollouts per prompt: one group.")
    learning_rate: float = Field(1e-6, gt=0, description="Peak learning rate.")
    steps: int = Field(100, ge=1, description="Optimizer steps.")
    warmup_steps: int = Field(0, ge=0, description="Steps over which the learning rate rises.")
    prompts_per_step: int = Field(8, ge=1, description="Prompts per optimizer step.")
    batch_size: int = Field(8, ge=1, description="Rollouts per process in one forward pass.")
    steps_per_generation: int = Field(
        1, ge=1, description="Optimizer steps that one round of rollouts is split into."
    )
    num_iterations: int = Field(1, ge=1, description="Passes over one round of rollouts.")
    max_completion_length: int = Field(
        512, ge=8, description="Tokens of a rollout, results of tools included."
    )
    max_prompt_length: int = Field(
        4096, ge=16, description="Tokens of a prompt; items with a longer one are left out."
    )
    max_tool_rounds: int = Field(
        8, ge=1, description="Live episodes: messages with calls before the episode ends."
    )
    progress_weight: float = Field(
        0.2, ge=0, lt=1, description="Live episodes: reward for each call that was right, in all."
    )
    require_reasoning: bool = Field(
        True, description="An answer without a think block breaks the template."
    )
    use_vllm: bool | Literal["auto"] = Field(
        "auto", description="Sample with vLLM in the same process; auto: if there is a GPU and it."
    )
    vllm_gpu_memory: float = Field(0.3, gt=0, lt=1, description="Share of the GPU for vLLM.")
    save_steps: int = Field(50, ge=1, description="Steps between checkpoints.")

    @property
    def generation_steps(self) -> int:
        """Optimizer steps from one round of rollouts to the next."""
        return self.steps_per_generation * self.num_iterations

    @property
    def prompts_per_generation(self) -> int:
        """Prompts that one round of rollouts answers."""
        return self.prompts_per_step * self.steps_per_generation

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        rollouts = self.prompts_per_step * self.num_generations
        if rollouts % self.batch_size:
            msg = (
                f"batch_size {self.batch_size} must divide the {rollouts} rollouts of a step "
                f"(prompts_per_step {self.prompts_per_step} x num_generations "
                f"{self.num_generations})"
            )
            raise ValueError(msg)
        return self
