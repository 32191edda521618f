"""Real code generators on the API document: ``python -m tests.support.generated``.

In a directory that is gone afterwards it installs validators and generators, makes clients of the
document that a real node serves, compiles them and has them take, refuse, extend, list and give
back a lock. It needs the package registries, Node.js and, for openapi-generator, Java; what is
not to be had is left out, and told.
"""

import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.support.real_cluster import running_nodes

HERE = Path(__file__).parent
STEP_S_MAX = 600
PACKAGES = (
    "mypy==2.4.1",
    "openapi-generator-cli==7.26.0",
    "openapi-python-client==0.29.1",
    "openapi-spec-validator==0.9.0",
    "ruff==0.17.6",
)
TARGETS = {"python": "", "typescript-fetch": "importFileExtension=.js", "java": "", "go": ""}
"""What openapi-generator makes, and with which properties; the last two are not compiled."""

UNQUIET_RULES = ("no-unused-components", "no-required-schema-properties-undefined")
"""What Redocly warns of and is meant so: shapes of a stream's events, ``if`` and ``else``."""


class Workshop:
    """A directory with the tools, the document and what is made of it."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url
        self.document = directory / "openapi.json"
        self.bin = directory / "venv" / "bin"
        self.modules = directory / "node_modules" / ".bin"
        self.failed: list[str] = []

    def prepare(self) -> None:
        """Install everything, and fetch the document."""
        for path in HERE.iterdir():
            if path.suffix in {".json", ".ts"} or path.name.startswith("with_"):
                shutil.copy(path, self.directory)
        with urllib.request.urlopen(f"{self.url}/openapi.json", timeout=10) as answer:
            self.document.write_bytes(answer.read())
        self.run(sys.executable, "-m", "venv", "venv")
        self.run(self.bin / "pip", "install", "--quiet", *PACKAGES)
        self.run("npm", "install", "--no-audit", "--no-fund", "--no-progress")

    def run(self, program: Path | str, *arguments: Path | str) -> None:
        """Run a program to its end.

        Raises:
            RuntimeError: It failed; the message is what it said.

        """
        ran = subprocess.run(
            [str(program), *map(str, arguments)],
            cwd=self.directory,
            env={"PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin", "HOME": str(self.directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_S_MAX,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(
                f"{Path(program).name} {' '.join(map(str, arguments))}\n{ran.stdout}"
            )

    def step(self, name: str, do: Callable[["Workshop"], None]) -> None:
        """Do one thing and say how it went; what fails does not keep the next from being done."""
        try:
            do(self)
        except RuntimeError as error:
            self.failed.append(name)
            print(f"FAILED  {name}\n{error}")
        else:
            print(f"ok      {name}")


def spec_validator(shop: Workshop) -> None:
    shop.run(shop.bin / "openapi-spec-validator", shop.document)


def swagger_parser(shop: Workshop) -> None:
    code = (
        'import Parser from "@apidevtools/swagger-parser";'
        f"await Parser.validate({str(shop.document)!r});"
    )
    shop.run("node", "--input-type=module", "-e", code)


def redocly(shop: Workshop) -> None:
    rules = [f"--skip-rule={rule}" for rule in UNQUIET_RULES]
    shop.run(shop.modules / "redocly", "lint", shop.document, "--max-problems=20", *rules)


def python_client(shop: Workshop) -> None:
    shop.run(
        shop.bin / "openapi-python-client", "generate", "--fail-on-warning",
        "--path", shop.document, "--output-path", "made/python",
    )  # fmt: skip
    shop.run(shop.bin / "pip", "install", "--quiet", "./made/python")
    shop.run(shop.bin / "mypy", "made/python/gorilla_client")
    shop.run(shop.bin / "python", "with_openapi_python_client.py", shop.url)


def typescript(shop: Workshop) -> None:
    """Make all clients in TypeScript but openapi-generator's."""
    shop.run(shop.modules / "openapi-typescript", shop.document, "--output", "made/types.d.ts")
    shop.run(
        shop.modules / "openapi-ts", "--input", shop.document, "--output", "made/hey",
        "--client", "@hey-api/client-fetch",
    )  # fmt: skip
    configuration = shop.directory / "orval.config.cjs"
    configuration.write_text(
        f"module.exports = {{gorilla: {{input: {str(shop.document)!r}, output: "
        f"{{target: 'made/orval.ts', client: 'fetch', baseUrl: {shop.url!r}}}}}}};\n"
    )
    shop.run(shop.modules / "orval", "--config", configuration)


def openapi_generator(shop: Workshop) -> None:
    shop.run(shop.bin / "openapi-generator-cli", "validate", "-i", shop.document)
    for target, properties in TARGETS.items():
        place = "made/generator" if target == "typescript-fetch" else f"made/generator-{target}"
        more = [f"--additional-properties={properties}"] if properties else []
        shop.run(
            shop.bin / "openapi-generator-cli", "generate", "-i", shop.document, "-g", target,
            "-o", place, *more,
        )  # fmt: skip
    shop.run(shop.bin / "pip", "install", "--quiet", "./made/generator-python")
    shop.run(shop.bin / "python", "with_openapi_generator.py", shop.url)


def compiled(shop: Workshop) -> None:
    """Compile every client in TypeScript and have it take a lock."""
    if not (shop.directory / "made" / "generator").is_dir():
        (shop.directory / "with_openapi_generator.ts").unlink()
    shop.run(shop.modules / "tsc", "--project", ".")
    programs = sorted((shop.directory / "compiled").glob("with_*.js"))
    assert len(programs) == len(list(shop.directory.glob("with_*.ts")))
    for program in programs:
        shop.run("node", program, shop.url)


def main() -> int:
    """Do all that can be done here; 1 when anything of it failed."""
    steps = [spec_validator, swagger_parser, redocly, python_client, typescript, openapi_generator,
             compiled]  # fmt: skip
    if shutil.which("java") is None:
        steps.remove(openapi_generator)
        print("left out: openapi-generator, because there is no Java here")
    with tempfile.TemporaryDirectory(prefix="gorilla-generated-") as place:
        directory = Path(place)
        (directory / "cluster").mkdir()
        with running_nodes(directory / "cluster", count=1) as nodes:
            shop = Workshop(directory, nodes.url("n1"))
            shop.prepare()
            for do in steps:
                shop.step(do.__name__.replace("_", " "), do)
    return 1 if shop.failed else 0


if __name__ == "__main__":
    sys.exit(main())
