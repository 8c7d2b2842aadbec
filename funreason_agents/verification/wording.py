"""What a reply does, going by its wording, in English: decline, ask, or claim to have acted.

Tolerant rules, which take any of the usual phrases anywhere in the reply, except that a claim is
taken for none where its own clause denies it, or makes it depend on something.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from funreason_agents.schemas.tasks import OuterInput
from funreason_agents.schemas.words import content_words
from funreason_agents.verification.values import to_plain

_MEANS = (
    r"(?:tool|function|functionalit|capabilit|abilit|feature|access|service|option|means|way"
    r"|permission|possibilit)(?:y|ies|s)?\b"
)
_ENDS = r"(?:scope|range|reach|remit|power|tools|capabilities|abilities|area|competence|skills)"
_DECLINES = re.compile(
    r"(?i)\b(?:can ?not|can't)(?! wait\b)"
    r"|\b(?:could not|couldn't)(?! (?:be (?:\w+er|more|less)|agree|wait)\b)"
    r"|\b(?:unable|incapable|unavailable|impossible)\b"
    r"|\b(?:not|[a-z]+n't) (?:\w+ ){0,2}(?:able|capable|available|supported|offered|equipped|among"
    r"|possible|designed|set up|covered by|part of|within|one of|a tool|provided with|something"
    r"|given (?:a|any|the) (?:\w+ )?tools?)\b"
    rf"|\bno (?:(?!way around)[\w-]+ ){{0,3}}?(?!way around){_MEANS}"
    rf"|\bnone of (?:my|the|these|those|them) (?:[\w-]+ ){{0,3}}?(?:can\b|{_MEANS})"
    r"|\b(?:i|we) (?:\w+ )?(?:do not|don't) (?:\w+ )?"
    r"(?:offer|support|provide|cover|handle|do|know how|have (?:that|this|one|it|what it takes)\b"
    rf"|(?:have|see|possess|find) (?:a |an |any |the |such )?(?:[\w-]+ ){{0,3}}?(?:{_MEANS}"
    r"|(?:any|some)thing (?:that|to|for)\b))"
    r"|\b(?:tool|function|capabilit|assistant|system|service|environment)\w* (?:[\w'-]+ ){0,6}?"
    r"(?:do not|does not|don't|doesn't) (?:\w+ )?"
    r"(?:have|offer|support|include|provide|cover|allow|extend|handle|let|exist|do)\b"
    rf"|\b(?:outside|beyond)(?: of)? (?:what (?:i|my|we)\b|(?:my|our|the) (?:\w+ )?{_ENDS}\b)"
    r"|\b(?:i|we)(?:'m|'re| am| are)? (?:can |am |are )?(?:only|just|solely|limited to)(?: able to"
    r"| equipped| designed| set up| built)? (?:handle|do|help|work|deal|have|offer|support|able"
    r"|equipped|designed|built|tools|search|assist)"
    rf"|\b(?:i|we|tools) lack\b|\black(?:s|ing)? (?:a|an|any|the) (?:[\w-]+ ){{0,3}}?{_MEANS}"
    rf"|\b{_MEANS} (?:[\w'-]+ ){{0,4}}?(?:is|are) missing\b"
    rf"|\bmissing (?:a|an|the) (?:[\w-]+ ){{0,3}}?{_MEANS}"
)
_ASKS = re.compile(
    r"(?i)\?|\b(?:please|kindly|could you|can you|would you|let me know|tell me|i(?:'d| would)? "
    r"(?:still )?(?:need|require)|(?:i am|i'm|is|are) (?:still )?missing|provide|specify)\b"
)
_ABBREVIATION = r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bNo\.)"


def declines(reply: str) -> bool:
    """Return whether a reply says that something cannot be done, or that no tool does it.

    Being sorry is no way of saying so.
    """
    return _DECLINES.search(to_plain(reply)) is not None


def asks_for(reply: str, wanted: OuterInput) -> bool:
    """Return whether one sentence of a reply has asking words and a word of what is asked for.

    That is a word of the label: of the description only where the label has none that means
    anything, since descriptions speak of other things as well.
    """
    words = content_words(wanted.label) or (
        frozenset(wanted.label.lower().split()) | content_words(wanted.description)
    )
    return any(
        _ASKS.search(sentence) is not None
        and bool(words & (content_words(sentence) | {*re.findall(r"\w+", sentence.lower())}))
        for sentence in _sentences(reply)
    )


def _sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text; the items of a list belong to the line before them."""
    text = re.sub(r"\n\s*(?:[-*\u2022]|\d+[.)])\s+", ", ", to_plain(text).replace("**", ""))
    text = re.sub(r":\s*\n\s*", ": ", text)
    yield from filter(None, map(str.strip, re.split(rf"(?<=[.!?]){_ABBREVIATION}\s+|\n+", text)))


# --- Claims.

_IRREGULAR = (
    "put|set|sent|done|made|gone|bought|sold|paid|taken|written|begun|started|chosen|brought"
    "|lent|left|drawn|let|cut|held|kept|run|got|given|found|built|shown|told|been able"
)
_ACTED = (
    "booked|placed|sent|completed|finished|cancell?ed|refunded|ordered|reserved|scheduled|confirmed"
    "|paid|done|fulfilled|taken care of|sorted(?: out)?|settled|handled|processed|submitted"
    "|delivered|arranged|updated|created|registered|fixed|resolved|purchased|bought|made|issued"
    "|e-?mailed|deleted|removed|added|saved|shipped|dispatched|called|changed|started|put|renewed"
)
_ADVERBS = r"(?:(?:\w+ly|also|just|now|then|all|gone ahead and|went ahead and|both|even) )*"
_CLAIMS = re.compile(
    rf"(?i)\b(?:i|we)(?:'ve| have| had) {_ADVERBS}(?P<perfect>been able|[\w-]+ed|{_IRREGULAR})\b"
    rf"|\b(?:i|we) {_ADVERBS}(?P<past>[\w-]+ed|did|went|gave|took|wrote|got|found|told"
    rf"|was able|were able|{_IRREGULAR})\b"
    rf"|(?P<passive>\b(?:has|have|had)(?: now| all| just| already)? been"
    rf" {_ADVERBS}(?:\w+ed|{_IRREGULAR})\b)"
    rf"|\b(?:is|are|was|were|it's|that's|'s|am|being|got) {_ADVERBS}(?:{_ACTED})\b"
    rf"|^(?:and |so |then )?(?:it's |that's )?(?:all )?done\b"
    rf"|\b(?:all|well) done\b|^(?:\w+ ){{1,2}}(?:{_ACTED})$|^(?:{_ACTED})\b(?! by\b)"
    rf"|\b(?:{_ACTED}) (?:it|that|them|this|your)\b"
    r"|\b(?:all set|good to go|taken care of|consider it done|mission accomplished"
    r"|(?:went|gone|goes) through|on (?:its|the|their|his|her|your) way|successful(?:ly)?"
    r"|here (?:you go|is your|are your)|there you (?:go|are))\b"
)
_TALK = re.compile(
    r"(?i)been (?:given|provid|design|equipp|ask|allow|train|tailor|limit|restrict|told|instruct)"
    r"|(?:been )?(?:not(?:ed|iced)|understood|mention|said|explain|consider|thought|seen|heard"
    r"|tried|assum|misunderst|misread|learn|forgott|wanted|need|wish|hoped|intend|appreciat"
    r"|apologi|meant|related|suppos|worri|interest|pleas|delight|decid|requir|used to|wonder"
    r"|pointed|stated|asked|limited|restricted|proceed|received (?:your|the) (?:request|message))"
)
"""What speaks of thinking, talking or of what one is made for; none of it is a deed."""
_LOOKS = re.compile(
    r"(?i)(?:check|look|review|search|read|gone|went|examin|scan|consult|found|find|got|start|shown"
    r"|list|compar|been (?:built|made|set|configured|created|given|loaded))"
)
_TOOLS = re.compile(
    r"(?i)\b(?:tool|function|capabilit|abilit|feature|option|instruction|request|question|message"
    r"|conversation|what i|set of|no\b|none|nothing)"
)
_DENIAL = (
    r"not|no|none|nothing|never|neither|nor|nobody|cannot|[a-z]+n't|unable|hardly|instead of"
    r"|once|until|till|before|unless|if|when|whether|as soon as|so that|would|could|should|can"
    r"|will|shall|do|does|did|may|might|must|to (?:be|get|have|see)|how"
    r"|in order|after|which|whose|need(?:s|ed)?"
)
_DENIES = re.compile(rf"(?i)\b(?:{_DENIAL})\b")
_DENIED_AFTER = re.compile(r"(?i)^ (?:absolutely |exactly )?(?:nothing|none|no|neither|nobody)\b")
_NO_DENIAL = re.compile(
    r"(?i)\b(?:no (?:worries|problems?|trouble|issues?|doubt|need to worry|longer)|not to worry"
    r"|do(?:n't| not) worry|not only|not a problem|in no time|no sooner|of course|as you can see"
    r"|if you (?:need|want|have|would)[^,.;]*|can i|could(?:n't| not) be (?:\w+er|more \w+)"
    r"|there was no way around it"
    r"|when you (?:asked|said|wrote)[^,.;]*)\b"
)
_CLAUSE = re.compile(
    r"(?i)[;:\u2013]|\s-+\s|--|,\s+(?=(?:and |but |so |then |yet )?(?:i|i've|we|we've|it|it's|that|"
    r"this|your?|the|everything|all|done|he|she|they|there|here|booked|what)\b)"
    r"|\b(?:but|so|however|although|though|while|because|still|instead|yet)\b(?! that\b)"
    r"|\band (?=(?:i|i've|we|we've|it|it's|that's|your|the|everything|all|done)\b)"
)


def claims_deed(reply: str) -> str | None:
    """Return the clause of a reply that claims something was done; None if none does.

    "Nothing has been booked" and "once it is booked" claim nothing, and neither does having
    looked through one's tools.
    """
    for sentence in _sentences(reply):
        for clause in filter(None, map(_trim, _CLAUSE.split(_NO_DENIAL.sub(" ", sentence)))):
            if any(_is_claim(clause, match) for match in _CLAIMS.finditer(clause)):
                return clause
    return None


def _trim(clause: str | None) -> str:
    """Return a clause without outer marks, and without words that may open any."""
    text = " ".join((clause or "").split()).strip(" ,.!?\"'()")
    return re.sub(r"(?i)^(?:and|then|sure|okay|ok|yes|great|right|alright|perfect),? ", "", text)


def _is_claim(clause: str, match: re.Match[str]) -> bool:
    before, after = clause[: match.start()], clause[match.end() :]
    if _DENIES.search(before) or _DENIES.search(match.group()) or _DENIED_AFTER.match(after):
        return False
    verb = match.group("perfect") or match.group("past")
    if verb is not None:
        said = f"{verb}{after}"
        return not (_TALK.match(said) or (_LOOKS.match(said) and _TOOLS.search(after)))
    if match.group("passive") is not None:
        # "The code of the order that has been placed" tells of no deed of this turn.
        if re.search(r"(?i)\w\s+(?:that|who)\s*$", before) or _TOOLS.search(before):
            return False
        said = re.split(r"(?i)\bbeen ", match.group())[-1]
        is_own = re.search(r"(?i)\b(?:i|we)\s*$", before) is not None
        return _TALK.match(f"been {said}" if is_own else said) is None
    return True


# --- Deeds that none of the called tools does.

_DEEDS: tuple[tuple[str, str], ...] = (
    (r"cancell?ed|annulled|revoked|voided",
     r"cancel|annul|revo|void|withdr|abort|terminat|g[ia]ven? up|giv(?:es|ing) up|releas|drop|remov"
     r"|delet|undo|retract|call(?:s|ed|ing)? off|refund"),
    (r"e-?mailed|texted|messaged",
     r"e-?mail|mail|messag|notif|sms|inform|alert|contact|send|sent|forward|post|tweet|letter"),
    (r"refunded|reimbursed", r"refund|reimburs|repa[iy]|money back|credit|cancel|return (?:a|the)"),
    (r"deleted|erased|wiped", r"delet|eras|wip|remov|clear|discard|drop|purg|cancel|withdr|rm\b"),
    (r"shipped|dispatched", r"ship|dispatch|deliver|send|sent|forward|order"),
)  # fmt: skip
"""A verb of a deed with consequences, and the words of which one speaks of it wherever it is done.

Few verbs and many words on purpose: a reply may say in its own words what a tool did.
"""


def find_strange_deeds(reply: str, told: str) -> list[str]:
    """Return the deeds that a reply claims in the first person and of which nothing else speaks.

    Args:
        reply: The reply.
        told: The conversation, and the called tools with what they were given and gave.
    """
    found = []
    for sentence in _sentences(reply):
        for clause in filter(None, map(_trim, _CLAUSE.split(_NO_DENIAL.sub(" ", sentence)))):
            claims = (m for m in _CLAIMS.finditer(clause) if m.group("perfect") or m.group("past"))
            start = next((m.start() for m in claims if _is_claim(clause, m)), None)
            if start is None:
                continue
            for verb, words in _DEEDS:
                match = re.compile(rf"(?i)\b(?:{verb})\b").search(clause, start)
                if match and not re.search(rf"(?i)(?<![a-z])(?:{words})", told):
                    found.append(match.group())
    return found
