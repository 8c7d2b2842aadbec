"""Everyday services that few environments have: what irrelevant requests ask for, and distractors.

Each line is a tool: its name, its description, and per parameter the name, the description and
some values that a user could give.
"""

from __future__ import annotations

from typing import Any

from funreason_agents.schemas.tools import ToolSpec

_Parameter = tuple[str, str, tuple[str | int, ...]]
_DISHES = ("lentil soup", "mushroom risotto", "apple crumble", "vegetable curry")
_PLANTS = ("tomato seedlings", "lavender", "a lemon tree", "basil")
_PETS = ("a grey parrot", "an old tabby cat", "a beagle puppy", "a rabbit")
_SONGS = ("a slow waltz", "a sea shanty", "an old lullaby", "a marching tune")
_PLACES = ("the river bank", "the old harbour", "the market square", "the north hill")

_TOOLS: tuple[tuple[str, str, tuple[_Parameter, ...]], ...] = (
    ("forecast_rain", "Forecast the rain over a meadow or hill for the coming evening.",
     (("place", "Where it may rain.", _PLACES),)),
    ("translate_poem", "Translate a poem into another language and keep its rhymes.",
     (("poem", "First line of the poem.", ("O quiet snow", "The wind has lost its coat")),
      ("language", "Language to translate it into.", ("Swahili", "Icelandic", "Tamil")))),
    ("call_taxi", "Send a taxi to pick somebody up at a street corner.",
     (("corner", "Street corner to wait at.", ("Mill Lane by the pump", "Quay Road by the inn")),
      ("passengers", "How many people get in.", (2, 3, 4)))),
    ("suggest_recipe", "Suggest a recipe for a dish, with cooking steps and ingredients.",
     (("dish", "Dish to cook.", _DISHES), ("servings", "How many people will eat.", (2, 4, 6)))),
    ("plan_workout", "Plan a gym workout that trains a group of muscles.",
     (("muscles", "Muscles to train.", ("shoulders", "lower back", "calves")),
      ("minutes", "How long to exercise.", (20, 35, 50)))),
    ("water_garden", "Water a bed of plants in the garden with the sprinkler.",
     (("plants", "What grows in the bed.", _PLANTS),)),
    ("groom_pet", "Make an appointment with a groomer who washes and trims a pet.",
     (("pet", "Animal to groom.", _PETS),)),
    ("iron_laundry", "Have shirts from the laundry basket washed and ironed.",
     (("garments", "Clothes to iron.", ("linen shirts", "silk blouses", "cotton trousers")),)),
    ("play_melody", "Play a melody on the living room loudspeaker.",
     (("melody", "Kind of melody to hear.", _SONGS),)),
    ("dim_lamps", "Dim the lamps in a bedroom or hallway to a soft glow.",
     (("room", "Room whose lamps to dim.", ("the nursery", "the hallway", "the attic")),)),
    ("reserve_haircut", "Arrange a haircut with a barber.",
     (("style", "How the hair should look.", ("short at the sides", "a layered bob")),)),
    ("describe_tooth", "Explain to a dentist where a tooth hurts, and ask for an examination.",
     (("tooth", "Tooth that hurts.", ("upper left molar", "lower right canine")),)),
    ("teach_yoga", "Teach a yoga pose with breathing instructions.",
     (("pose", "Pose to learn.", ("the tree", "the cobra", "the half moon")),)),
    ("solve_chess", "Find the winning chess move for a puzzle.",
     (("puzzle", "Where the pieces stand.", ("white rook behind pawn", "black queen pinned")),)),
    ("compose_limerick", "Compose a limerick that mocks a habit.",
     (("habit", "Habit to mock.", ("snoring at the opera", "collecting odd socks")),)),
    ("read_horoscope", "Read the horoscope of a zodiac sign.",
     (("sign", "Zodiac sign.", ("Capricorn", "Gemini", "Scorpio")),)),
    ("recognise_birdsong", "Recognise which bird sings, from how its song sounds.",
     (("sound", "How the song sounds.", ("three rising whistles", "a dry rattle at dusk")),)),
    ("chart_stars", "Draw a chart of the constellations above the horizon.",
     (("horizon", "Direction to look in.", ("southern sky", "eastern sky")),)),
    ("predict_tides", "Predict high and low tide at a beach.",
     (("beach", "Beach to bathe at.", ("Pebble Cove", "Gull Bay", "Driftwood Sands")),)),
    ("brew_coffee", "Brew a pot of coffee in the kitchen machine.",
     (("roast", "Kind of beans.", ("dark Sumatra", "light Ethiopian")),
      ("cups", "How many cups.", (2, 5)))),
    ("bake_pizza", "Bake a pizza in the stone oven and bring it hot.",
     (("topping", "What goes on top.", ("olives and capers", "spinach and feta")),)),
    ("mix_cocktail", "Mix a cocktail without alcohol from juices and syrup.",
     (("flavour", "How it should taste.", ("bitter orange", "ginger and pear")),)),
    ("fix_bicycle", "Repair a bicycle: chain, tube or spokes.",
     (("damage", "What is broken.", ("a bent rim", "a slack chain", "a worn saddle")),)),
    ("tune_piano", "Have a tuner tune a piano at home.",
     (("instrument", "Piano to tune.", ("a walnut upright", "a baby grand")),)),
    ("sweep_chimney", "Have a chimney swept of soot.",
     (("fireplace", "Fireplace below the chimney.", ("the parlour stove", "the tiled oven")),)),
    ("paint_fence", "Paint a wooden fence with weatherproof colour.",
     (("shade", "Colour to paint it in.", ("moss green", "brick red", "chalk white")),)),
    ("assemble_wardrobe", "Assemble a flat-packed wardrobe, screws and hinges included.",
     (("wardrobe", "Wardrobe to assemble.", ("an oak wardrobe with mirror", "a pine cupboard")),)),
    ("knit_sweater", "Knit a woollen sweater after a pattern.",
     (("pattern", "Pattern to knit.", ("cable stitch", "snowflakes", "diagonal ribs")),)),
    ("sharpen_knife", "Sharpen a blunt kitchen knife on a whetstone.",
     (("blade", "Blade to sharpen.", ("a bread knife", "a paring knife")),)),
    ("feed_aquarium", "Feed the fish in an aquarium and clean its glass.",
     (("fish", "Fish to feed.", ("neon tetras", "a lone betta", "goldfish")),)),
    ("walk_dog", "Find somebody who walks a dog in the afternoon.",
     (("dog", "Dog to walk.", ("a nervous whippet", "a stubborn dachshund")),)),
    ("shear_sheep", "Shear a flock of sheep and weigh the wool.",
     (("flock", "Sheep to shear.", ("the merino ewes", "the spotted rams")),)),
    ("harvest_honey", "Harvest honey from a beehive.",
     (("hive", "Beehive to open.", ("the hive by the orchard", "the straw skep")),)),
    ("prune_orchard", "Prune fruit trees in an orchard before spring.",
     (("trees", "Trees to prune.", ("plum trees", "old pear trees")),)),
    ("compost_leaves", "Turn fallen leaves into compost for the vegetable patch.",
     (("leaves", "Leaves to compost.", ("wet maple leaves", "dry beech leaves")),)),
    ("identify_mushroom", "Say whether a mushroom is edible or poisonous.",
     (("mushroom", "How the mushroom looks.", ("white gills and a ring", "a red warty cap")),)),
    ("measure_pollen", "Measure how much grass pollen is in the air, for people with hay fever.",
     (("grass", "Pollen to measure.", ("ryegrass", "timothy", "mugwort")),)),
    ("interpret_dream", "Interpret what a dream could mean.",
     (("dream", "What happened in the dream.", ("a staircase without end", "a talking heron")),)),
    ("count_calories", "Estimate the calories and vitamins of a meal.",
     (("meal", "Meal to estimate.", ("porridge with figs", "a cheese omelette")),)),
    ("fit_spectacles", "Fit spectacles at an optician and test the eyesight.",
     (("frame", "Frame of the spectacles.", ("round tortoiseshell", "thin titanium")),)),
    ("tailor_suit", "Have a tailor alter a suit or dress to fit.",
     (("alteration", "What to alter.", ("shorter sleeves", "a narrower waist")),)),
    ("polish_boots", "Polish leather boots and replace worn soles.",
     (("boots", "Boots to polish.", ("brown hiking boots", "black riding boots")),)),
    ("arrange_bouquet", "Arrange a bouquet of flowers for a festive occasion.",
     (("flowers", "Flowers to arrange.", ("peonies", "white tulips", "sunflowers")),)),
    ("light_candles", "Pour scented candles from beeswax.",
     (("scent", "Scent of the candles.", ("cedar", "vanilla", "rosemary")),)),
    ("choreograph_dance", "Choreograph a ballroom dance for a couple.",
     (("dance", "Dance to choreograph.", ("a foxtrot", "a tango", "a quickstep")),)),
    ("tell_joke", "Tell a clean joke for children.",
     (("topic", "What the joke is about.", ("penguins", "a sleepy wizard", "pancakes")),)),
    ("draw_portrait", "Draw a charcoal portrait of a sitter.",
     (("sitter", "Who is drawn.", ("a laughing baker", "a fisherman in oilskins")),)),
    ("rehearse_choir", "Rehearse a choir piece voice by voice.",
     (("voice", "Voice to rehearse.", ("the altos", "the tenors", "the basses")),)),
    ("judge_cheese", "Judge how ripe a cheese is and which wine goes with it.",
     (("cheese", "Cheese to judge.", ("a runny goat cheese", "a hard mountain cheese")),)),
    ("pickle_cabbage", "Pickle cabbage or cucumbers in brine.",
     (("vegetable", "Vegetable to pickle.", ("red cabbage", "gherkins")),)),
    ("groom_ski_slope", "Groom a snowy slope and tell how thick the snow lies.",
     (("slope", "Slope to groom.", ("the beginners' slope", "the glacier run")),)),
    ("rate_surf", "Rate the waves for surfers on a stretch of coast.",
     (("waves", "Stretch of coast.", ("Lantern Reef", "Anchor Point")),)),
    ("steer_balloon", "Launch a hot-air balloon and choose its altitude by wind.",
     (("meadow", "Meadow to launch from.", ("Clover Field", "Heron Meadow")),)),
    ("referee_match", "Referee a badminton match and keep the score.",
     (("players", "Who plays.", ("the juniors", "the left-handed pair")),)),
    ("coach_sprinter", "Coach a sprinter on start, stride and breath.",
     (("weakness", "What to work on.", ("a late start", "a short stride")),)),
    ("swaddle_baby", "Show how a baby is swaddled and soothed.",
     (("mood", "How the baby feels.", ("restless", "tearful", "wide awake")),)),
    ("mend_fishing_net", "Mend a torn fishing net with twine.",
     (("tear", "Where it is torn.", ("along the float rope", "in the middle mesh")),)),
    ("glaze_pottery", "Glaze clay pottery and fire it in a kiln.",
     (("pottery", "Piece to glaze.", ("a salt jar", "a milk jug")),)),
    ("whittle_spoon", "Whittle a spoon out of birch wood.",
     (("spoon", "Spoon to whittle.", ("a ladle", "a jam spoon")),)),
    ("dry_herbs", "Hang herbs to dry and fill them into jars.",
     (("herbs", "Herbs to dry.", ("thyme", "sage", "chamomile")),)),
    ("insulate_attic", "Insulate a draughty attic with hemp or wool.",
     (("draught", "Where the cold comes in.", ("around the skylight", "under the eaves")),)),
    ("unclog_drain", "Send a plumber who unclogs a sink or shower drain.",
     (("drain", "Drain that is clogged.", ("the scullery sink", "the upstairs shower")),)),
    ("carve_pumpkin", "Carve a pumpkin lantern for the autumn feast.",
     (("face", "Face to carve.", ("a grinning owl", "a frightened ghost")),)),
    ("decorate_cake", "Decorate a birthday cake with icing.",
     (("icing", "Icing to use.", ("lemon icing", "dark chocolate icing")),)),
)  # fmt: skip


def _make_tool(name: str, description: str, parameters: tuple[_Parameter, ...]) -> ToolSpec:
    properties: dict[str, Any] = {
        parameter: {
            "type": "integer" if isinstance(values[0], int) else "string",
            "description": told,
            "examples": list(values),
        }
        for parameter, told, values in parameters
    }
    return ToolSpec(
        name=name,
        description=description,
        parameters={
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    )


FOREIGN_TOOLS = tuple(_make_tool(*each) for each in _TOOLS)
"""The pool, in a fixed order: another order would change what a seed draws."""
