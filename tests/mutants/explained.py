"""Faults that no policy notices, and why that is no loss. Each line is needed by a mutant; `make mutate` says when not."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.mutants.templates import Mutant

NAME = "a name or description, for people"
DEFAULT = "what AWS takes when nothing is said, or the same in other words"
REFUSED = "AWS refuses it, and the deployment rolls back"
LESS = "a permission less: the rehearsal evaluates IAM and fails"
RUNS = "the rehearsal runs this function or task, with these values, and fails"
ORDER = "an order that another reference implies"
LIMIT = "a limit of the function's own; an alarm tells when it is nearly reached"


@dataclass(frozen=True)
class Explained:
    type: str
    path: str
    how: str
    why: str

    def fits(self, mutant: Mutant) -> bool:
        return (
            fnmatchcase(mutant.resource.type, self.type)
            and fnmatchcase(mutant.path, self.path)
            and any(fnmatchcase(mutant.how, each) for each in self.how.split("|"))
        )


EXPLAINED: Sequence[Explained] = ()


def explanation(mutant: Mutant) -> Explained | None:
    return next((each for each in EXPLAINED if each.fits(mutant)), None)
