"""Six lists of rules of the shop, as its marketing would write them."""

from __future__ import annotations

from training.simulation.business import Rule
from training.simulation.shop.actions import LINES

_SORRY = (Rule("complained", 0, "delivery_apology"),)
_MATCH = tuple(Rule(f"line_{line}", 0, "matching_items") for line in LINES)
_SIZES = (Rule("returned", 0.4, "size_advice"),)
_QUIET = (Rule("quiet", 0, "win_back_voucher"),)
RULES = {
    # Recommend what the customer looks at.
    "recommend": _SORRY + _MATCH,
    # A newsletter for everybody, recommendations for visitors.
    "newsletter": _SORRY + (Rule("channel_email", 0, "new_arrivals"),) + _MATCH,
    # Sell now: the sale first, then discounts, then new goods.
    "sales": _SORRY
    + (Rule("club", -1, "flash_sale"), Rule("club", -1, "ten_percent"))
    + (Rule("club", -1, "new_arrivals"),),
    # Service first: sizes for those who send back, a voucher for those who have grown quiet.
    "care": _SORRY + _SIZES + _QUIET + _MATCH,
    # Discounts for those who have used one, for others what they look at.
    "bargains": _SORRY + (Rule("discounted", 0.3, "ten_percent"),) + _QUIET + _MATCH,
    # By segment: the club gets free returns, good customers recommendations, the country discounts.
    "segment": _SORRY
    + (Rule("club", 0, "free_returns"), Rule("yearly_margin", 1.5, "matching_items"))
    + (Rule("region_country", 0, "ten_percent"), Rule("weekend", 0, "new_arrivals")),
}
