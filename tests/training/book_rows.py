"""Step rows about books, of different lengths and kinds."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_book",
            "description": "Find a book by its title.",
            "parameters": {
                "type": "object",
                "properties": {"title": {"type": "string"}},
                "required": ["title"],
            },
        },
    }
]
TITLES = ("Dune", "Emma", "Ulysses", "Walden", "Beloved", "Ivanhoe", "Dracula", "Kim")


def make_row(number, *, reasoning=True, call=True):
    """Return a step row; rows of different numbers differ in length."""
    title = TITLES[number % len(TITLES)]
    message = {"role": "assistant", "content": f"Here is {title}." if not call else ""}
    if reasoning:
        message["reasoning_content"] = f"They want {title}. " + "So I look it up. " * (number % 4)
    if call:
        function = {"name": "find_book", "arguments": {"title": title}}
        message["tool_calls"] = [{"id": f"c{number}", "type": "function", "function": function}]
    prompt = [{"role": "user", "content": f"Order {number}: please find {title} for me."}]
    return {"prompt": prompt, "completion": [message], "tools": TOOLS}


def make_rows(count):
    """Return rows with and without reasoning, with and without calls."""
    return [
        make_row(number, reasoning=number % 5 != 3, call=number % 3 != 2) for number in range(count)
    ]
