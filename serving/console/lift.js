/* The picture of lift: the pairs of arms, the arms, and the credited rewards as a second table. */
import {el, table} from "./page.js";
import {between, count, money, number, percent, signed, tone} from "./numbers.js";

const SVG = "http://www.w3.org/2000/svg";

/** Draw the lift up to each day as a line within the interval that holds on all days together. */
function course(days, title) {
  const W = 360, H = 150, left = 50, bottom = 20;
  const lows = days.map(day => day.low), highs = days.map(day => day.high);
  // The intervals of the first days are so wide that they would flatten all that follows.
  const values = days.map(day => Math.abs(day.value)), last = days[days.length - 1];
  const reach = Math.max(...values, 3 * Math.abs(last.low), 3 * Math.abs(last.high));
  const low = Math.max(-reach, Math.min(0, ...lows)), high = Math.min(reach, Math.max(0, ...highs));
  const span = high - low || 1, kept = value => Math.min(high, Math.max(low, value));
  const x = i => left + (W - left - 8) * (days.length > 1 ? i / (days.length - 1) : .5);
  const y = value => 8 + (H - bottom - 8) * (high - kept(value)) / span;
  const made = (name, attributes, text) => {
    const one = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    if (text !== undefined) one.textContent = text;
    return one;
  };
  const picture = made("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", class: "course", "aria-label": title});
  const band = [...highs.map((v, i) => `${x(i)},${y(v)}`),
    ...lows.map((v, i) => `${x(i)},${y(v)}`).reverse()].join(" ");
  picture.append(
    made("polygon", {points: band, class: "band"}),
    made("line", {x1: left, x2: W - 8, y1: y(0), y2: y(0), class: "zero"}),
    made("polyline", {points: days.map((d, i) => `${x(i)},${y(d.value)}`).join(" "), class: "line"}));
  // A label for each end of the scale, unless it would lie on the 0.
  for (const [value, down] of [[high, 8], [0, 4], [low, 0]])
    if (value === 0 || Math.abs(y(value) - y(0)) > 14)
      picture.append(made("text", {x: 0, y: y(value) + down}, value === 0 ? "0" : signed(value)));
  picture.append(made("text", {x: left, y: H - 4}, days[0].day),
    made("text", {x: W - 8, y: H - 4, class: "last"}, last.day));
  return picture;
}

const byDay = (days, unit) => el("details", {}, el("summary", {}, "By day"), el("div", {class: "days"},
  table(["Up to", unit, "All days together"],
    days.map(day => [day.day, signed(day.value), between(day.low, day.high)]))));

/** One line of a pair: its name, the number, and a remark in small letters. */
const line = (name, value, more) => [el("dt", {}, name), el("dd", {}, value,
  more ? el("span", {class: "soft"}, ` ${more}`) : null)];

function pair(found, unit, trusted) {
  const name = `${found.arm} less ${found.against}`, card = el("article", {class: "pair"}, el("h3", {}, name));
  const {lift, left} = found;
  if (lift === null) return card.append(el("p", {class: "soft"}, found.verdict)), card;
  const certain = trusted ? tone(lift.low, lift.high) : "bad";
  card.append(
    el("div", {class: `figure ${certain}`}, `${signed(lift.value)} ${unit}`),
    el("div", {class: "soft"}, "for each customer"),
    el("p", {class: certain}, found.verdict),
    el("dl", {},
      ...line("At any time, 95 %", between(lift.low, lift.high), "holds at all looks together"),
      ...line("One planned look, 95 %", between(lift.planned_low, lift.planned_high), "only on a day fixed beforehand"),
      ...(found.relative === null ? [] : line("Relative", signed(100 * found.relative, 1) + " %",
        found.relative_low === null ? "" : `${between(100 * found.relative_low, 100 * found.relative_high, 1)} %`)),
      ...(left === null ? [] : line("Share who left", `${signed(100 * left.value, 1)} points`,
        `at any time ${between(scaled(left.low), scaled(left.high), 1)}`)),
      ...line("Smallest lift to be seen", money(lift.planned_smallest),
        `in one planned look; ${money(lift.smallest)} at any time`)));
  if (found.days.length > 1) card.append(
    course(found.days, `${name}: lift up to each day, with the 95 % interval of all days together`),
    byDay(found.days, unit));
  return card;
}

const scaled = value => value === null ? null : 100 * value;

function ratio(found) {
  if (found.p_value === null) return "";
  const parts = Object.keys(found.expected).map(arm =>
    `${arm} ${(100 * (found.found[arm] || 0)).toFixed(1)} % (planned ${(100 * found.expected[arm]).toFixed(1)} %)`);
  return `Customers by arm: ${parts.join(", ")}; p ${number(found.p_value)}.`;
}

/** The credited rewards: a second table, with the name that says what it does not count. */
function credited(found, unit) {
  const arms = [["policy", found.policy], ["random", found.random]];
  return el("details", {id: "credited"}, el("summary", {}, "Credited outcomes"),
    el("p", {class: "soft"}, "Only what followed a shown action and was credited to it. Who would have bought anyway "
      + "counts as a success, and who left costs nothing: this is not what the policy earns."),
    found.lift === null ? null : el("p", {}, `${signed(found.lift)} ${unit} for each customer, policy less random; `
      + `95 %, one planned look: ${between(found.low, found.high)}.`),
    el("p", {class: found.sample_ratio.trusted ? "" : "bad"}, found.verdict),
    table(["Arm", "Customers", "Decisions", `Credited ${unit} a customer`, `Credited ${unit} a decision`],
      arms.map(([name, arm]) => [name, count(arm.customers), count(arm.decisions),
        money(arm.reward_per_customer), money(arm.reward_per_decision)])),
    el("p", {class: "soft"}, found.remarks.join(" ")));
}

/** Make the parts of the section from an answer of /v1/lift. */
export function lift(found) {
  const unit = found.currency.toUpperCase(), trusted = found.sample_ratio.trusted;
  const main = found.pairs[0] && found.pairs[0].lift;
  const notes = [ratio(found.sample_ratio), ...found.remarks].filter(text => text);
  return [
    el("p", {class: trusted ? main ? tone(main.low, main.high) : "" : "bad", id: "verdict"}, found.verdict),
    el("p", {class: "soft"}, found.objective),
    el("div", {class: "pairs"}, ...found.pairs.map(one => pair(one, unit, trusted))),
    el("h3", {}, "Arms"),
    table(["Arm", "Planned", "Customers", `${unit} a customer`, "Margin", "Cost", "Lost with who left", "Left"],
      found.arms.map(arm => [arm.arm, percent(arm.share), count(arm.customers), money(arm.value), money(arm.margin),
        money(arm.cost), money(arm.lost), percent(arm.left)])),
    el("p", {class: "soft"}, notes.join(" ")),
    credited(found.credited, unit)];
}
