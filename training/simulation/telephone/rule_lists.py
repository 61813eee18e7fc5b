"""Six lists of rules of the telephone company, as its marketing would write them."""

from __future__ import annotations

from training.simulation.business import Rule

_PAGES = {"data": "more_data", "device": "new_phone", "fun": "streaming", "family": "family_line"}
_SALES = tuple(Rule(f"page_{page}", 0, action) for page, action in _PAGES.items())
_INTEREST = tuple(Rule(f"topic_{page}", 0.8, action) for page, action in _PAGES.items())
_SERVICE = (Rule("problem_open", 0, "call_back"), Rule("page_help", 0, "how_to"))
_RETENTION = (Rule("page_price", 0, "price_cut"),)
RULES = {
    # Offer the product of the viewed page.
    "page": _SERVICE + _SALES,
    "page, price": _SERVICE + _RETENTION + _SALES,
    # Also the product of the pages viewed lately.
    "interest": _SERVICE + _SALES + _INTEREST,
    # Service first: calls, new buyers, open questions.
    "care": _SERVICE
    + (Rule("calls", 0.9, "call_back"), Rule("onboarding", 0, "how_to"))
    + (Rule("support_open", 0, "how_to"),)
    + _SALES,
    # By segment: young customers get streaming, families a line, others data.
    "segment": _SERVICE
    + (Rule("young", 0, "streaming"), Rule("home_size", 0.5, "family_line"))
    + (Rule("old", 0, "how_to"), Rule("plan_small", 0, "more_data")),
    # By stage: offer a product only to customers who have viewed its page often.
    "stage": _SERVICE
    + tuple(Rule(f"topic_{page}", 1.6, action) for page, action in _PAGES.items()),
}
