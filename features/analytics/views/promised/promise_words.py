"""Says a promise in words, where the domain file has none for it."""

from __future__ import annotations

from features.business.journey_rules.promises import DAY_US, HOUR_US, Promise


def promise_words(promise: Promise) -> str:
    """Return a promise in words, such as ``ordered, then delivery within 3 days``."""
    within = _time(" within ", promise)
    match promise.template:
        case "response" if promise.within is not None:
            told = promise.within.property
            otherwise = _time(" else within ", promise)
            return f"{promise.after}, then {promise.comes} by {told},{otherwise}"
        case "response":
            return f"{promise.after}, then {promise.comes}{within}"
        case "precedence":
            return f"{promise.comes}{_time(' at least ', promise)} before {promise.before}"
        case "absence":
            return f"never {promise.never}{within}"
        case "at_most":
            return f"{promise.of} at most {promise.no_more_than} times{within}"
        case "never_again":
            return f"no {promise.never}{within} after {promise.after}"
        case "chain":
            return f"{promise.next} as the next step after {promise.after},{within}"


def _time(before: str, promise: Promise) -> str:
    if promise.time_us is None:
        return ""
    days, hours = promise.time_us / DAY_US, promise.time_us / HOUR_US
    amount, unit = (days, "day") if days >= 1 and days == round(days, 2) else (hours, "hour")
    return f"{before}{amount:g} {unit}{'' if amount == 1 else 's'}"
