"""What an environment's file requires of an image: paths, fields of answers, and scripts."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from config import Environment, services
from config.model import Service

_RUNTIMES = ("node", "bun")
_SCRIPTS = (".js", ".mjs", ".cjs", ".ts", ".mts")


@dataclass(frozen=True, kw_only=True)
class ImageContract:
    """Defaults are those of docs/application-contract.md."""

    alive: str = "/api/health/live"
    release: str | None = "/api/health/release"
    version: str | None = "version"
    expect: dict[str, str] = field(default_factory=lambda: {"checks.database": "ok", "checks.redis": "ok"})
    redis: str | None = "/api/health/redis"

    @classmethod
    def of(cls, service: Service) -> "ImageContract":
        check = service.release_check
        return cls(
            alive=service.health_path or "/",
            release=check.path if check else None,
            version=check.version_field if check else None,
            expect=dict(check.expect) if check else {},
            redis=service.redis_health_path,
        )

    @property
    def is_of_the_product(self) -> bool:
        """Whether server.mjs already answers like this."""
        well = {("services.database", "up"), ("services.redis", "up")}
        paths = self.alive == "/health" and self.release in (None, "/health", "/api/health")
        return paths and self.version is None and self.redis is None and self.expect.items() <= well

    def write(self, folder: Path) -> None:
        (folder / "asked.json").write_text(json.dumps(asdict(self), indent=2))


CONTRACT = ImageContract()


def commands(environment: Environment, service: str) -> Iterator[tuple[Sequence[str], str]]:
    """(command, our equivalent script) of every container that runs the service's image."""
    for name, each in services.same_image(environment, service).items():
        if each.command is not None:
            yield each.command, "worker.mjs" if each.host is None else "contract.mjs"
        if each.migrations is not None:
            yield each.migrations.command, "migrate.mjs"
        yield from ((job.command, "job.mjs") for job in environment.jobs.values() if job.runs == name)


def write_scripts(folder: Path, asked: Iterable[tuple[Sequence[str], str]]) -> None:
    """Under the names that commands of Node.js and of Bun have for them, where the image has nothing by that name."""
    for (program, *words), script in asked:
        for word in words if program in _RUNTIMES else ():
            path = folder / word
            if PurePosixPath(word).suffix in _SCRIPTS and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                up = "../" * (len(PurePosixPath(word).parts) - 1)
                # ES module or CommonJS, by the file's name and the runtime.
                path.write_text(f"import('./{up}{script}')\n")
                break
