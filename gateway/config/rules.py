"""What is wrong with the rules of a configuration beyond the types of their settings, and what is odd about them."""

from gateway.accounts.rules.definition import Definition
from gateway.accounts.rules.reading import RuleError, rule_of
from gateway.config.mistakes import WRONG, Mistakes


def check_rules(rules: tuple[Definition, ...], mistakes: Mistakes) -> None:
    """Report rules that say two things at once, and ids that are there twice."""
    first: dict[str, int] = {}
    for index, each in enumerate(rules):
        # A rule, or a setting of it, can be `WRONG`.
        if not isinstance(each, Definition) or WRONG in (getattr(each, name) for name in each.__struct_fields__):
            continue
        earlier = first.setdefault(each.id, index)
        if earlier != index:
            mistakes.add(f"rules[{index}].id", f"the same as rules[{earlier}].id; each needs its own")
        try:
            rule_of(each)
        except RuleError as error:
            mistakes.add(f"rules[{index}].{error.field}", error.message)
