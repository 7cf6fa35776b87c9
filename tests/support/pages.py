"""The code of the pages: which blocks there are, and how a console block is run at the size of a test."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
GENERATED: Final = tuple(DOCS / name for name in ("api", "notebooks", "_build"))
PAGES: Final = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for page in DOCS.rglob("*.md") if page.parent not in GENERATED),
)

LANGUAGES: Final = ("python", "pycon", "console")
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
REASON: Final = re.compile(r"^\*Not run by the tests: ([^\n]+)\.\*\n\n?\Z", re.M)

TRAINING: Final = {"--epochs": "6", "--batch-size": "32"}
"""What makes a training short."""

AUDIT: Final = {"--references": "4", "--retrained": "2"}
"""What makes an audit small."""


@dataclass(frozen=True)
class Block:
    """A piece of a page that a reader may run; `reason` is what the page says where the tests do not."""

    page: Path
    line: int
    language: str
    code: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a console block, and what the page shows that it prints."""

    text: str
    output: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    @property
    def error(self) -> str:
        """The message that the command is shown to end with; empty where it is shown to work."""
        _, error, message = self.output.partition("error: ")
        return " ".join(message.split()) if error else ""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that can be run, in their order."""
    text = page.read_text(encoding="utf-8")
    listed = []
    for match in BLOCK.finditer(text):
        if match[1] in LANGUAGES:
            before = text[: match.start()]
            reason = REASON.search(before)
            listed.append(Block(page, before.count("\n") + 1, match[1], match[2], reason[1] if reason else ""))
    return listed


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block: lines after `$ `, with those that a backslash or a `> ` continues."""
    text = re.sub(r"\\\n *", "", block.code)
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, *output = part.splitlines()
        while output and output[0].startswith(">"):
            command += "\n" + output.pop(0)[1:].lstrip()
        yield Command(command, "\n".join(output))


def small(words: list[str], data: Path) -> list[str]:
    """The arguments of an `obliviate` command as a test gives them: short trainings on few samples, small audits."""
    command, *rest = words
    match command:
        case "train":
            parts = {option: "2" for option in ("--shards", "--slices") if option in rest}
            if "--data" in rest:
                return [command, *changed(rest, {"--train-size": "300", **TRAINING, **parts})]
            return [command, *changed(rest, {"--data": str(data), "--holdout-size": "", **TRAINING, **parts})]
        case "references":
            if "--executor" in rest:  # the page asks for few
                return words
            return [command, *changed(rest, {"--references": AUDIT["--references"], "--workers": "0"})]
        case "audit" | "oracle":
            return [command, *changed(rest, {**AUDIT, "--workers": "0"})]
        case "inspect":
            return [command, *changed(rest, {"--retrained": AUDIT["--retrained"]})]
        case "unlearn":
            options = {"--teachers": "4"} if "--teachers" in rest or "never_seen" in rest else {}
            return [command, *changed(rest, options | ({"--budget": "90%"} if "--budget" in rest else {}))]
    return words


def changed(words: list[str], options: dict[str, str]) -> list[str]:
    """The words with these options instead of their own values; an empty value leaves the option out."""
    kept, skip = [], False
    for word in words:
        if not skip and word not in options:
            kept.append(word)
        skip = not skip and word in options
    return kept + [word for option, value in options.items() if value for word in (option, value)]


def is_of_an_example(block: Block) -> bool:
    """Whether the code stands in `examples` as it is, where tests of its own run it."""
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "examples").rglob("*.py"))
    return block.language == "python" and any(block.code in source for source in sources)
