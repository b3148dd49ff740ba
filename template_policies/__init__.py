"""What no template may be, one file each (docs/adr/0040): asked at every synthesis, by tests, and of every mutant."""

from template_policies.graph import Graph, Resource, Violation
from template_policies.policy import Failure, Policy, policies, policy, violations

__all__ = ["Failure", "Graph", "Policy", "Resource", "Violation", "policies", "policy", "violations"]
