/* Numbers as words of the pages: shares, amounts with a sign, and intervals. */
const missing = value => value === null || value === undefined;

export const count = value => new Intl.NumberFormat("en").format(value);
export const number = value => missing(value) ? "–"
  : new Intl.NumberFormat("en", {maximumSignificantDigits: 3}).format(value);
export const percent = value => missing(value) ? "–" : `${(100 * value).toFixed(Math.abs(value) < 0.1 ? 1 : 0)} %`;
export const money = value => missing(value) ? "–" : minus(value.toFixed(2));
export const signed = (value, digits = 2) => missing(value) ? "–" : `${value > 0 ? "+" : ""}${minus(value.toFixed(digits))}`;
export const between = (low, high, digits = 2) => missing(low) || missing(high) ? "not yet"
  : `${minus(low.toFixed(digits))} to ${minus(high.toFixed(digits))}`;
/** Good, bad, or nothing certain: the class of a figure by its interval. */
export const tone = (low, high) => missing(low) || missing(high) ? "" : low > 0 ? "good" : high < 0 ? "bad" : "";

const minus = text => text.replace("-", "−");
