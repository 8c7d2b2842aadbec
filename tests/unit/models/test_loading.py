import pytest

from funreason_agents.errors import ConfigurationError, MissingExtraError
from funreason_agents.models import factory
from funreason_agents.models.factory import load_model, load_models, model_id
from funreason_agents.models.ledger import Ledger
from funreason_agents.models.offline import OfflineChatModel
from funreason_agents.prompts import ROLES


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["gpt-5", "openai:", ":gpt", "", "offline "])
def test_string_that_names_no_model_is_told_what_would(name):
    with pytest.raises(ConfigurationError, match=r"unknown model .*'openai:NAME'"):
        load_model(name)


def test_missing_key_is_told_before_anything_is_called():
    with pytest.raises(ConfigurationError, match=r"needs OPENAI_API_KEY .*--model offline"):
        load_model("openai:gpt-x")


def test_server_of_ones_own_needs_no_key():
    model = load_model("openai:qwen:8b", base_url="http://127.0.0.1:9/v1")
    assert model.model_name == "qwen:8b"
    assert model.openai_api_base == "http://127.0.0.1:9/v1"
    assert model.root_client.base_url.host == "127.0.0.1"
    assert model.max_retries == 0


def test_explicit_address_wins_over_the_variable(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert load_model("openai:m").openai_api_base == "http://127.0.0.1:1/v1"
    explicit = load_model("openai:m", base_url="http://127.0.0.1:2/v1")
    assert explicit.openai_api_base == "http://127.0.0.1:2/v1"


def test_key_comes_from_the_variable(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    model = load_model("openai:m")
    assert model.openai_api_key.get_secret_value() == "sk-canary"
    assert "sk-canary" not in repr(model)


def test_missing_provider_package_is_told_with_its_command(monkeypatch):
    monkeypatch.setattr(factory, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'funreason-agents\[agents\]'"):
        load_model("anthropic:claude")


def test_provider_that_langchain_cannot_load_is_told(monkeypatch):
    def import_module(_name):
        class Module:
            @staticmethod
            def init_chat_model(_model, **_options):
                raise error

        return Module

    monkeypatch.setattr(factory, "find_spec", lambda _name: object())
    monkeypatch.setattr(factory, "import_module", import_module)
    error = ImportError("pip install langchain-anthropic")
    with pytest.raises(MissingExtraError, match="pip install langchain-anthropic"):
        load_model("anthropic:claude")
    error = ValueError("Unsupported provider")
    with pytest.raises(ConfigurationError, match="cannot be used: Unsupported provider"):
        load_model("nobody:claude")


def test_each_role_can_have_its_own_model():
    critic = OfflineChatModel(model_name="critic")
    roles = load_models("offline", {"critiquing": critic})
    assert roles.critiquing.model is critic
    assert roles.tooling.model is roles.querying.model is roles.reasoning.model
    assert [getattr(roles, role).role for role in ROLES] == list(ROLES)
    critics = {"critiquing": "critic", "judging": "critic"}
    assert roles.ids == dict.fromkeys(ROLES, "offline") | critics


def test_judge_can_have_a_model_of_its_own():
    judge = OfflineChatModel(model_name="judge")
    roles = load_models("offline", {"judging": judge})
    assert roles.ids == dict.fromkeys(ROLES, "offline") | {"judging": "judge"}


def test_roles_share_the_ledger_and_what_is_learnt_of_a_provider():
    ledger = Ledger()
    elsewhere = load_model("openai:m", base_url="http://127.0.0.1:9/v1")
    same_server = load_model("openai:n", base_url="http://127.0.0.1:9/v1")
    roles = load_models("offline", {"tooling": elsewhere, "querying": same_server}, ledger=ledger)
    limiters = {role: getattr(roles, role)._limiter for role in ROLES}
    assert limiters["tooling"] is limiters["querying"]
    assert limiters["reasoning"] is limiters["critiquing"]
    assert limiters["tooling"] is not limiters["reasoning"]
    assert all(getattr(roles, role)._ledger is ledger for role in ROLES)


def test_only_models_that_are_used_are_loaded():
    roles = load_models("openai:no-key-for-it", dict.fromkeys(ROLES, "offline"))
    assert roles.reasoning.model is roles.tooling.model


def test_unknown_role_is_told_the_roles():
    with pytest.raises(ConfigurationError, match=r"unknown roles \['critic'\]; .*'critiquing'"):
        load_models("offline", {"critic": "offline"})


def test_model_without_a_name_goes_by_its_class():
    assert model_id(OfflineChatModel(model_name="")) == "OfflineChatModel"
