"""What a change of templates does to an account, before anybody deploys it (docs/adr/0034)."""

from ops.effects.effect import Effect, Impact
from ops.effects.engine import effects

__all__ = ["Effect", "Impact", "effects"]
