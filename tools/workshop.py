"""A museum's conservation workshop: plain functions bound to one session by a factory.

Staff start a shift, check objects out, and open, plan, submit, approve, apply, close treatments.
Keys of the state that start with an underscore hold codes that take a look-up; no one knows them.

Load it with ``funreason explore tools/workshop.py:open_workshop``.
"""

import hashlib
import random
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from funreason_agents import ToolSession

Record = dict[str, Any]
Tool = Callable[..., Record]
Stage = Literal["draft", "submitted", "approved", "treated"]
Outcome = Literal["stable", "keep watching", "failed"]
Grams = Annotated[int, Field(ge=1, le=20)]
Codes = Annotated[list[str], Field(min_length=1, max_length=4)]

_ID_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_STAFF = ("Ottoline Reyes", "Bashir Lund", "Celeste Oyelaran", "Piotr Hamasaki", "Wren Dufour")
_PINS = ("heron", "anvil", "saffron", "juniper", "pewter", "walrus")
_OBJECTS = {
    "wood": ("Walnut Casket", "Limewood Saint", "Painted Cradle", "Inlaid Zither"),
    "textile": ("Bridal Sash", "Guild Banner", "Embroidered Glove", "Silk Fan"),
    "paper": ("Harbour Map", "Herbal Album", "Theatre Poster", "Star Chart"),
    "ceramic": ("Lustre Bowl", "Tile Panel", "Puzzle Jug", "Tea Caddy"),
}
_SUPPLIES = {
    "wood": ("hide glue", "beeswax", "shellac"),
    "textile": ("silk crepeline", "soap bark", "cotton thread"),
    "paper": ("wheat paste", "mulberry tissue", "chalk water"),
    "ceramic": ("acrylic resin", "fill plaster", "glass beads"),
}
_CODES = ("_treatment_id", "_submission_id", "_permit_number", "_treatment_id")
_NEXT_CODE = dict(zip(get_args(Stage), _CODES, strict=True))  # to go on from each stage
_GOALS = (
    "Stop the flaking before the autumn show.",
    "Make it safe to travel to the partner museum.",
    "Clean the surface without touching old repairs.",
    "Close the crack that the last move has opened.",
)


def open_workshop(seed: int) -> ToolSession:
    """Open the workshop that a seed stands for, nobody on duty and four treatments under way."""
    workshop = _Workshop(seed)
    groups = (_staff_tools, _vault_tools, _draft_tools, _approval_tools)
    return ToolSession(
        tools=[function for group in groups for function in group(workshop)],
        dump_state=workshop.dump_state,
        load_state=workshop.load_state,
    )


class _Workshop:
    """The state of one session and the steps that several tools and the seeding share."""

    def __init__(self, seed: int) -> None:
        self.state: Record = {"_seed": seed, "on_duty": None, "treatments": []}
        self.state |= self._make_tables(random.Random(seed))
        for item, goal, stage in zip(self.state["objects"], _GOALS, _NEXT_CODE, strict=False):
            item.update(_loans=1, _loan_slip=self.code("SLIP", item["_object_id"], 1))
            treatment = self.begin(item, goal)
            treatment["_supply_codes"] = self.supply_codes(item["material"])[:2]
            if stage != "draft":
                treatment.update(stage=stage, _submission_id=self.code("SUB", item["_object_id"]))
            if stage in ("approved", "treated"):
                treatment["_permit_number"] = self.code("PRM", item["_object_id"])

    def _make_tables(self, rng: random.Random) -> Record:
        staff = zip(rng.sample(_STAFF, 3), rng.sample(_PINS, 3), strict=True)
        objects = [(title, kind) for kind in _OBJECTS for title in rng.sample(_OBJECTS[kind], 3)]
        supplies = [(supply, kind) for kind, listed in _SUPPLIES.items() for supply in listed]
        return {
            "staff": [
                {"staff_name": member, "badge_pin": f"{pin}-{rng.randint(100, 999)}", "role": role}
                for (member, pin), role in zip(staff, ("senior", "senior", "junior"), strict=True)
            ],
            "objects": [
                {
                    "_object_id": self.code("OBJ", title),
                    "object_title": title,
                    "material": material,
                    "condition_score": rng.randint(15, 70),
                    "_loan_slip": None,
                    "_loans": 0,
                }
                for title, material in rng.sample(objects, len(objects))
            ],
            "supplies": [
                {"_supply_code": self.code("SUP", supply), "supply": supply, "material": material}
                | {"grams_left": rng.randint(25, 90)}
                for supply, material in supplies
            ],
        }

    def dump_state(self) -> Record:
        """Return the state; whoever opens the session copies what it keeps."""
        return self.state

    def load_state(self, state: Record) -> None:
        """Replace the state by a dumped one."""
        self.state = state

    def code(self, prefix: str, *content: object) -> str:
        """Derive a code from its content, so that it does not depend on the order of calls."""
        text = "/".join(map(str, (self.state["_seed"], prefix, *content)))
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        return f"{prefix}-" + "".join(_ID_ALPHABET[byte % 32] for byte in digest[:5])

    def pick(self, table: str, key: str, value: str) -> Record:
        """Return the record whose key equals the value, ignoring letter case, or raise."""
        records: list[Record] = self.state[table]
        for record in records:
            if record.get(key) and record[key].casefold() == value.strip().casefold():
                return record
        raise LookupError(f"The workshop has no {key.strip('_').replace('_', ' ')} {value!r}.")

    def staff_on_duty(self) -> Record:
        """Return the member of staff on duty, or raise."""
        if self.state["on_duty"] is None:
            raise PermissionError("Nobody is on duty; a shift has to be started first.")
        return self.pick("staff", "staff_name", self.state["on_duty"])

    def treatment(self, key: str, value: str, stage: str) -> Record:
        """Return the treatment with this value if it is at the stage, or raise."""
        self.staff_on_duty()
        found = self.pick("treatments", key, value)
        if found["stage"] != stage:
            raise ValueError(f"This treatment is {found['stage']}, but it has to be {stage}.")
        return found

    def supply_codes(self, material: str) -> list[str]:
        """Return the codes of the supplies for a material."""
        return [e["_supply_code"] for e in self.state["supplies"] if e["material"] == material]

    def treatments_of(self, item: Record) -> list[Record]:
        """Return the treatments of an object's current loan: one at most."""
        return [e for e in self.state["treatments"] if e["_loan_slip"] == item["_loan_slip"]]

    def begin(self, item: Record, treatment_goal: str) -> Record:
        """Open a treatment; they are kept sorted so that equal worlds dump equally."""
        treatment = {"_treatment_id": self.code("TRT", item["_loan_slip"]), "stage": "draft"}
        treatment.update(treatment_goal=treatment_goal, _loan_slip=item["_loan_slip"])
        self.state["treatments"].append(treatment)
        self.state["treatments"].sort(key=lambda each: each["_treatment_id"])
        return treatment


def _staff_tools(workshop: _Workshop) -> list[Tool]:
    def start_shift(staff_name: str, badge_pin: str) -> Record:
        """Put one member of the team on duty after checking the badge.

        Args:
            staff_name: Full name of the member of staff.
            badge_pin: Secret that belongs to that person's badge.

        Returns:
            The name and whether the person is senior, who may approve, or junior.
        """
        if (current := workshop.state["on_duty"]) is not None:
            raise PermissionError(f"{current} is on duty and has to end that shift first.")
        person = workshop.pick("staff", "staff_name", staff_name)
        if person["badge_pin"] != badge_pin:
            raise PermissionError(f"The badge PIN of {staff_name} is wrong.")
        workshop.state["on_duty"] = person["staff_name"]
        return {"staff_name": person["staff_name"], "role": person["role"]}

    def end_shift() -> Record:
        """Take whoever is on duty off duty, so that nothing can be changed any more.

        Returns:
            The name of the person who went off duty.
        """
        leaving = workshop.staff_on_duty()["staff_name"]
        workshop.state["on_duty"] = None
        return {"off_duty": leaving}

    return [start_shift, end_shift]


def _vault_tools(workshop: _Workshop) -> list[Tool]:
    def find_object(object_title: str) -> Record:
        """Look up a museum piece: its internal id, what it is made of and how well it is kept.

        Args:
            object_title: Title of the object in the museum's register.

        Returns:
            The object id, the material and the condition score from 0 (ruined) to 100 (perfect).
        """
        item = workshop.pick("objects", "object_title", object_title)
        return {key.lstrip("_"): item[key] for key in ("_object_id", "material", "condition_score")}

    def compare_conditions(object_id: str, other_object_id: str) -> Record:
        """Tell which of two different museum pieces is in the worse shape, and by how much.

        Args:
            object_id: Object id of the first piece.
            other_object_id: Object id of the second piece.

        Returns:
            The title of the worse object and the difference of the condition scores.
        """
        items = [workshop.pick("objects", "_object_id", e) for e in (object_id, other_object_id)]
        if items[0] is items[1]:
            raise ValueError("An object cannot be compared with itself; give two object ids.")
        worse, better = sorted(items, key=lambda item: item["condition_score"])
        difference = better["condition_score"] - worse["condition_score"]
        return {"worse_object": worse["object_title"], "score_difference": difference}

    def list_supplies(material: Literal["wood", "textile", "paper", "ceramic"]) -> Record:
        """List what the store keeps for working on pieces made of a given stuff.

        Args:
            material: Material of the objects.

        Returns:
            The supply codes for that material, and the smallest stock among them in grams.
        """
        codes = workshop.supply_codes(material)
        stock = [workshop.pick("supplies", "_supply_code", code)["grams_left"] for code in codes]
        return {"supply_codes": codes, "least_grams_left": min(stock)}

    def check_out_object(object_id: str) -> Record:
        """Bring a museum piece from the vault to the work bench; needs somebody on duty.

        Args:
            object_id: Object id of the piece, which must still be in the vault.

        Returns:
            The number of the loan slip that goes with the object.
        """
        workshop.staff_on_duty()
        item = workshop.pick("objects", "_object_id", object_id)
        if item["_loan_slip"] is not None:
            raise ValueError(f"{item['object_title']} is out already and has to be returned first.")
        loan_slip = workshop.code("SLIP", item["_object_id"], item["_loans"] + 1)
        item.update(_loans=item["_loans"] + 1, _loan_slip=loan_slip)
        return {"loan_slip": loan_slip}

    def return_object(loan_slip: str) -> Record:
        """Take a museum piece back to the vault, unless a repair of it is still under way.

        Args:
            loan_slip: Loan slip of the object.

        Returns:
            The title of the object and the condition score it goes back with.
        """
        workshop.staff_on_duty()
        item = workshop.pick("objects", "_loan_slip", loan_slip)
        if any(each["stage"] != "closed" for each in workshop.treatments_of(item)):
            raise ValueError("A treatment of this object is still open; it has to be closed first.")
        item["_loan_slip"] = None
        return {"returned": item["object_title"], "condition_score": item["condition_score"]}

    return [find_object, compare_conditions, list_supplies, check_out_object, return_object]


def _draft_tools(workshop: _Workshop) -> list[Tool]:
    def list_treatments(stage: Stage | None = None) -> Record:
        """List the repairs under way, each with the code that is needed to go on with it.

        Args:
            stage: How far the listed treatments have come; all stages if left out.

        Returns:
            Up to six treatments with goal, stage, and treatment id, submission id or permit number.
        """
        treatments = []
        for each in workshop.state["treatments"]:
            if each["stage"] in (_NEXT_CODE if stage is None else (stage,)):
                keys = ("treatment_goal", "stage", _NEXT_CODE[each["stage"]])
                treatments.append({key.lstrip("_"): each[key] for key in keys})
        return {"treatments": treatments[:6]}

    def open_treatment(loan_slip: str, treatment_goal: str) -> Record:
        """Begin the record of a repair for a museum piece that has been brought to the bench.

        Args:
            loan_slip: Loan slip of the object; a loan allows for one treatment.
            treatment_goal: What the treatment is to achieve.

        Returns:
            The id of the new treatment, which is a draft.
        """
        workshop.staff_on_duty()
        item = workshop.pick("objects", "_loan_slip", loan_slip)
        if workshop.treatments_of(item):
            raise ValueError(f"Loan {loan_slip} has its treatment; the object has to be returned.")
        return {"treatment_id": workshop.begin(item, treatment_goal)["_treatment_id"]}

    def plan_treatment(treatment_id: str, supply_codes: Codes, urgent: bool = False) -> Record:
        """Write into the draft of a repair which substances it will use.

        Args:
            treatment_id: Id of a treatment that is still a draft.
            supply_codes: Codes of one to four supplies; only those for the object's material help.
            urgent: Whether it has to be done this week.

        Returns:
            The number of planned steps.
        """
        treatment = workshop.treatment("_treatment_id", treatment_id, "draft")
        codes = {workshop.pick("supplies", "_supply_code", e)["_supply_code"] for e in supply_codes}
        treatment.update(_supply_codes=sorted(codes), urgent=urgent)
        return {"planned_steps": len(codes)}

    def submit_treatment(treatment_id: str) -> Record:
        """Hand the planned draft of a repair in, so that somebody senior can decide on it.

        Args:
            treatment_id: Id of a treatment that is a draft and has a plan.

        Returns:
            The id of the submission.
        """
        treatment = workshop.treatment("_treatment_id", treatment_id, "draft")
        if not treatment.get("_supply_codes"):
            raise ValueError("The draft names no supplies yet; it has to be planned first.")
        submission_id = workshop.code("SUB", treatment["_treatment_id"])
        treatment.update(stage="submitted", _submission_id=submission_id)
        return {"submission_id": submission_id}

    return [list_treatments, open_treatment, plan_treatment, submit_treatment]


def _approval_tools(workshop: _Workshop) -> list[Tool]:
    def approve_submission(submission_id: str, reviewer_note: str) -> Record:
        """Give permission for a repair that was handed in; only senior people on duty can.

        Args:
            submission_id: Id of the undecided submission.
            reviewer_note: What the reviewer wants to be kept in mind.

        Returns:
            The number of the permit.
        """
        treatment = workshop.treatment("_submission_id", submission_id, "submitted")
        if workshop.staff_on_duty()["role"] != "senior":
            raise PermissionError("Only senior staff may approve; a senior has to be on duty.")
        permit = workshop.code("PRM", treatment["_submission_id"])
        treatment.update(stage="approved", _permit_number=permit, reviewer_note=reviewer_note)
        return {"permit_number": permit}

    def apply_treatment(permit_number: str, dose_grams: Grams) -> Record:
        """Carry out a permitted repair with the planned substances, improving the museum piece.

        Args:
            permit_number: Number of the permit.
            dose_grams: Grams to use of each planned supply.

        Returns:
            The treatment's id and the new condition score of the object.
        """
        plan = workshop.treatment("_permit_number", permit_number, "approved")
        item = workshop.pick("objects", "_loan_slip", plan["_loan_slip"])
        used = [workshop.pick("supplies", "_supply_code", e) for e in plan["_supply_codes"]]
        if dose_grams > min(supply["grams_left"] for supply in used):
            raise ValueError(f"The store has no {dose_grams} grams of each planned supply.")
        for supply in used:
            supply["grams_left"] -= dose_grams
            gain = dose_grams if supply["material"] == item["material"] else 0
            item["condition_score"] = min(100, item["condition_score"] + gain)
        plan["stage"] = "treated"
        return {"treatment_id": plan["_treatment_id"], "condition_score": item["condition_score"]}

    def close_treatment(treatment_id: str, outcome: Outcome) -> Record:
        """Finish the record of a repair that was carried out, which frees the museum piece.

        Args:
            treatment_id: Id of a treatment that has been carried out.
            outcome: How the treatment turned out.

        Returns:
            The number of the final report.
        """
        treatment = workshop.treatment("_treatment_id", treatment_id, "treated")
        treatment.update(stage="closed", outcome=outcome)
        return {"report_number": workshop.code("RPT", treatment["_treatment_id"], outcome)}

    return [approve_submission, apply_treatment, close_treatment]
