"""Prose that has nothing to do with any request: minutes, notes, house rules, letters."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from funreason_agents.verification.turn_kinds import find_held
from funreason_agents.verification.values import text_holds

_TRIES = 5
_WHO = (
    "the treasurer", "the caretaker", "our neighbour", "the gardener", "the choir master",
    "the older members", "a visitor", "the youngest helper", "the baker", "the committee",
)  # fmt: skip
_WHEN = (
    "in the morning", "after lunch", "towards evening", "before the rain", "last spring",
    "at the end of the summer", "on the way home", "during the break",
)  # fmt: skip
_WHERE = (
    "behind the shed", "by the pond", "near the gate", "under the chestnut tree", "on the terrace",
    "next to the compost", "along the hedge", "in the old greenhouse",
)  # fmt: skip
_WHAT = (
    "the rosemary", "a broken rake", "the wooden bench", "a basket of plums", "the rain barrel",
    "a ladder", "the brass kettle", "some bulbs", "the bean poles", "an umbrella",
)  # fmt: skip
_SENTENCES = (
    "Minutes of the garden club were read aloud, and {who} found nothing to add.",
    "It was agreed that the hedge should be left alone until the blackbirds have flown.",
    "Somebody had left {what} {where}, and nobody knew for how long.",
    "There was a long talk about slugs, in the course of which {who} grew rather passionate.",
    "The lawn has suffered from the drought, but it always comes back.",
    "{Who} offered to look after the seedlings {when}.",
    "We still disagree on whether moss is a nuisance or a blessing.",
    "The roses were late, yet they smelled better than ever.",
    "{Who} told the story of the runaway goat again, and everybody laughed as before.",
    "A motion to repaint the gate was put off, because the weather would not have it.",
    "Weather note: a thin mist lay over the fields and was gone by the time the bells rang.",
    "The wind turned to the west {when} and brought the smell of hay.",
    "Clouds gathered over the ridge, hesitated, and went elsewhere.",
    "It thundered far away, but {where} not a leaf moved.",
    "The evening was so clear that the hills looked close enough to touch.",
    "Frost was seen on the low ground, though {who} would not believe it.",
    "A fine drizzle kept on all day and made the slates shine.",
    "The swallows flew low, which {who} took for a sign of rain.",
    "House rules remind everybody that boots are left outside, however clean they look.",
    "Whoever is last to leave closes the shutters and looks after the stove.",
    "Please do not hang wet coats over the banister, it has been varnished.",
    "The piano may be played {when}, provided that nobody is asleep upstairs.",
    "Cups go back on the shelf with their handles to the wall, as {who} likes it.",
    "The cellar door sticks; lift it a little and lean against it.",
    "Guests are welcome as long as they do not mind the dog.",
    "Noise should end when the lamps in the lane are lit.",
    "Nobody has claimed {what} yet, so it stays {where}.",
    "From an old letter: we walked along the canal and fed the ducks with crusts.",
    "You would hardly know the village, so much has been planted since you left.",
    "My aunt sends her love and wants her pie dish back.",
    "The kitten has taken to sleeping in the bread basket.",
    "{When} we sat {where} and shelled peas until our fingers were green.",
    "I have mended the gloves that you thought were past mending.",
    "The clock in the hall is slow again, and we have all become used to it.",
    "Grandfather insists that soup tastes better from the chipped bowl.",
    "There is a new teacher, who plays the fiddle and is afraid of geese.",
    "The school put on a play about a sailor, with more fog than plot.",
    "{Who} forgot the lines and whistled instead, which was the best part.",
    "Costumes were sewn from curtains, and the crown was made of pastry.",
    "The audience clapped for so long that the candles went out.",
    "A notice on the board asks who has seen {what}, last noticed {where}.",
    "The library corner has been dusted, and a mouse was asked to leave.",
    "Walking notes: the path is muddy at first and stony later, but never dull.",
    "At the stile we met {who}, who advised against the short cut.",
    "The view from the top is famous, and it was hidden by fog as usual.",
    "We ate our sandwiches {where} and argued about the names of clouds.",
    "Blisters were compared on the way down, and {who} won.",
    "The stream can be crossed on stones if you trust your balance.",
    "A heron stood in the shallows and did not think much of us.",
    "About the bakery: the rye loaf is back, and so is the queue.",
    "The flour comes from the mill by the weir, where the wheel has been repaired.",
    "{Who} swears by a pinch of nutmeg, and cannot be talked out of it.",
    "The oven door squeaks in a way that strangers find alarming.",
    "Crumbs are for the sparrows, by ancient custom.",
    "On the history of the well: it never ran dry, not even when the river did.",
    "The stones around it were laid by people who left no other trace.",
    "Children used to whisper secrets into it, and some of them still do.",
    "Rehearsal notes: the altos should smile less and breathe more.",
    "The new hymn is pretty, but the middle verse goes on like a wet week.",
    "{Who} brought {what} to the rehearsal and would not say why.",
    "Knitting circle: the blanket has grown, and nobody remembers for whom it was meant.",
    "Wool was swapped, patterns were misread, and tea was spilled {when}.",
    "It was resolved to finish what had been begun before beginning anything else.",
    "The beehives were moved {where}, to the relief of the postman.",
    "Honey will be shared out when {who} has found enough jars.",
    "As to the scarecrow, opinions differ, but the crows have made up their minds.",
    "{Who} proposed a day without proposals, and that was carried with a sigh.",
    "The evening ended with a song that only {who} knew to the end.",
)  # fmt: skip
_LINKS = ("", "", "", "By the way: ", "As was said: ", "It should be noted: ", "Then again: ")


def write_filler(length: int, avoid: Sequence[Any], generator: random.Random) -> str | None:
    """Return unrelated prose of at least `length` characters that states none of `avoid`.

    Returns:
        The text; None if it cannot be written without one of these values.
    """
    banned: list[Any] = []
    for _ in range(_TRIES):
        text = _write(length, banned, generator)
        if text is None:
            return None
        held = find_held(text, iter(avoid))
        if not held:
            return text
        banned += held
    return None


def _write(length: int, banned: Sequence[Any], generator: random.Random) -> str | None:
    paragraphs: list[str] = []
    total = 0
    while total < length:
        order = generator.sample(_SENTENCES, len(_SENTENCES))
        said = [_vary(sentence, generator) for sentence in order]
        said = [s for s in said if not any(text_holds(s, value) for value in banned)]
        if len(said) < len(_SENTENCES) // 4:
            return None
        while said and total < length:
            size = generator.randint(3, 6)
            paragraphs.append(" ".join(said[:size]))
            del said[:size]
            total += len(paragraphs[-1]) + 2
    return "\n\n".join(paragraphs)


def _vary(sentence: str, generator: random.Random) -> str:
    """Fill the slots of a sentence, and sometimes lead up to it."""
    words = {
        slot: generator.choice(choices)
        for slot, choices in (
            ("who", _WHO), ("when", _WHEN), ("where", _WHERE), ("what", _WHAT),
        )
    }  # fmt: skip
    capital = {slot.capitalize(): word.capitalize() for slot, word in words.items()}
    link = generator.choice(_LINKS)
    text = sentence.format(**words, **capital)
    return link + text[0].lower() + text[1:] if link else text
