/* The page for business people: readiness, lift, a decision, and the explanation of a past one. */
import {$, call, el, onKey, show, table} from "./page.js";

const percent = value => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
const number = value => value === null || value === undefined ? "–"
  : new Intl.NumberFormat("en", {maximumSignificantDigits: 3}).format(value);
const count = value => new Intl.NumberFormat("en").format(value);

const contributions = found => found
  ? el("ul", {}, ...found.strongest.map(one => el("li", {}, one.text))) : "";

function decision(found) {
  const parts = [];
  const churn = found.predictions.churn;
  parts.push(el("p", {class: "soft"},
    `${found.customer_id}${found.known ? "" : " (unknown so far)"}, ${found.arm} arm`,
    churn === null ? "" : `, probability of churn ${percent(churn)}`,
    found.predictions.stage ? `, in stage ${found.predictions.stage}` : "",
    `. decision_id ${found.decision_id}`));
  parts.push(el("h3", {}, "Chosen"), table(["Rank", "Action", "Treatment", "Probability", "Reasons"],
    found.actions.map(one => [String(one.rank), one.action_id,
      Object.values(one.treatment).filter(text => typeof text === "string").join(" – "),
      percent(one.probability), el("ul", {}, ...one.reasons.map(why => el("li", {}, why)))])));
  const why = found.explanation;
  if (why) {
    parts.push(el("p", {}, why.in_words));
    parts.push(el("h3", {}, "Candidates for rank 1"),
      table(["Action", "Probability", "Acceptance", "Priority", "Contributions"],
        why.candidates.map(one => [one.action_id, percent(one.probability), percent(one.acceptance),
          number(one.priority), contributions(one.contributions)])));
    if (why.churn) parts.push(el("h3", {}, "Churn"), contributions(why.churn));
    if (why.intent.length) parts.push(el("h3", {}, `Intent: ${why.intent[0].of}`),
      contributions(why.intent[0]));
  }
  if (found.removed) parts.push(el("h3", {}, "Removed"), found.removed.length
    ? table(["Action", "Rule", "Reason"],
        found.removed.map(one => [one.action_id, one.rule, one.reason]))
    : el("p", {class: "soft"}, "No action was removed."));
  return parts;
}

$("ask").addEventListener("submit", event => {
  event.preventDefault();
  const fields = new FormData(event.target), who = fields.get("who").trim();
  show("decision", async () => decision(await call("v1/decide", {
    ...(who.includes(":") ? {identifiers: [who]} : {customer_id: who}),
    channel: fields.get("channel").trim(), slots: Number(fields.get("slots")),
    explain: true, activate: false})));
});

$("past").addEventListener("submit", event => {
  event.preventDefault();
  const id = new FormData(event.target).get("id").trim();
  show("explained", async () => {
    const found = await call("v1/explain", {decision_id: id});
    const note = found.as_logged ? "Repeated from the log: the answer is the same, to the byte."
      : "Repeated from the log: the answer differs; see /v1/replay.";
    return [el("p", {class: found.as_logged ? "good" : "bad"}, note), ...decision(found.decision)];
  });
});

/** Draw the cumulative lift of each day as a line within its interval. */
function liftChart(days) {
  const W = Math.max(280, $("lift").clientWidth), H = 176, left = 52, bottom = 22, svg = "http://www.w3.org/2000/svg";
  const lows = days.map(day => day.low), highs = days.map(day => day.high);
  // The intervals of the first days are so wide that they would flatten all that follows.
  const values = days.map(day => Math.abs(day.value)), last = days[days.length - 1];
  const reach = Math.max(...values, 3 * Math.abs(last.low), 3 * Math.abs(last.high));
  const low = Math.max(-reach, Math.min(0, ...lows)), high = Math.min(reach, Math.max(0, ...highs));
  const span = high - low || 1, drawn = value => Math.min(high, Math.max(low, value));
  const x = i => left + (W - left - 8) * (days.length > 1 ? i / (days.length - 1) : .5);
  const y = value => 8 + (H - bottom - 8) * (high - drawn(value)) / span;
  const made = (name, attributes, text) => {
    const one = document.createElementNS(svg, name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    if (text !== undefined) one.textContent = text;
    return one;
  };
  const picture = made("svg", {viewBox: `0 0 ${W} ${H}`, role: "img",
    "aria-label": "Cumulative lift up to each day, with its 95 % interval"});
  const band = [...highs.map((v, i) => `${x(i)},${y(v)}`),
    ...lows.map((v, i) => `${x(i)},${y(v)}`).reverse()].join(" ");
  picture.append(
    made("polygon", {points: band, class: "band"}),
    made("line", {x1: left, x2: W - 8, y1: y(0), y2: y(0), class: "zero"}),
    made("polyline", {points: days.map((d, i) => `${x(i)},${y(d.value)}`).join(" "), class: "course"}),
    made("text", {x: 0, y: y(high) + 8}, high.toFixed(2)), made("text", {x: 0, y: y(low)}, low.toFixed(2)),
    made("text", {x: left, y: H - 4}, days[0].day),
    made("text", {x: W - 8, y: H - 4, class: "last"}, days[days.length - 1].day));
  return picture;
}

const money = value => value === null || value === undefined ? "–" : value.toFixed(3);
const share = value => `${value > 0 ? "+" : ""}${percent(value)}`;

function lift(found) {
  const unit = found.currency.toUpperCase(), parts = [];
  const tone = !found.sample_ratio.trusted ? "bad" : found.low > 0 ? "good" : found.high < 0 ? "bad" : "";
  if (found.lift !== null && found.sample_ratio.trusted) parts.push(el("div", {class: "row"},
    el("div", {}, el("div", {class: `figure ${tone}`}, `${found.lift > 0 ? "+" : ""}${found.lift.toFixed(2)} ${unit}`),
      el("div", {class: "soft"}, `for each customer, 95 %: ${found.low.toFixed(2)} to ${found.high.toFixed(2)}`
        + (found.relative === null ? "" : ` (${share(found.relative)}`
          + (found.relative_low === null ? ")" : `, ${share(found.relative_low)} to ${share(found.relative_high)})`))))));
  parts.push(el("p", {class: tone}, found.verdict));
  if (found.days.length > 1) parts.push(liftChart(found.days));
  parts.push(table(["Arm", "Customers", "Decisions", `${unit} a customer`, `${unit} a decision`],
    [["policy", found.policy], ["random", found.random]].map(([name, arm]) => [name,
      count(arm.customers), count(arm.decisions), money(arm.reward_per_customer), money(arm.reward_per_decision)])));
  const ratio = found.sample_ratio, notes = [];
  if (ratio.p_value !== null) notes.push(`Random arm ${(100 * ratio.found_random).toFixed(2)} % of the customers, `
    + `${(100 * ratio.expected_random).toFixed(2)} % expected (p ${number(ratio.p_value)}).`);
  notes.push(...found.remarks || []);
  parts.push(el("p", {class: "soft"}, notes.join(" ")));
  return parts;
}

/** Show whether the server is ready; without the scope `read` it tells no more than that. */
async function readiness() {
  const found = await call("readyz").catch(error => ({status: "not ready", degraded: [error.message]}));
  const models = Object.entries(found.models || {}).map(([name, version]) => `${name} ${version || "–"}`);
  return [el("span", {class: found.status === "ready" ? "good" : "bad"}, found.status),
    models.length ? ` · ${models.join(", ")}` : "",
    ...(found.degraded || ["Details need a key with the scope read."]).map(text => el("div", {}, text))];
}
onKey(() => show("ready", readiness));
show("ready", readiness);
show("lift", async () => lift((await call("v1/lift", {})).credited));

// A link can send the request: /console/?customer=h1&channel=app, or /console/?decision=visit-8812.
const linked = new URLSearchParams(location.search);
if (linked.has("decision")) {
  $("past").elements.id.value = linked.get("decision");
  $("past").requestSubmit();
}
if (linked.has("customer")) {
  $("ask").elements.who.value = linked.get("customer");
  if (linked.has("channel")) $("ask").elements.channel.value = linked.get("channel");
  $("ask").requestSubmit();
}
