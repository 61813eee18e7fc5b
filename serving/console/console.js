/* The page for business people: readiness, lift, a decision, and the explanation of a past one. */
import {$, call, el, onKey, show, table} from "./page.js";
import {fill} from "./guardrails.js";
import {lift} from "./lift.js";
import {number, percent} from "./numbers.js";

const contributions = found => found
  ? el("ul", {}, ...found.strongest.map(one => el("li", {}, one.text))) : "";

/** Terms of the priority that count where the objective is the added value. */
const EFFECTS = [["Other purchases", one => one.purchases, number],
  ["Leaving", one => one.leaving, percent],
  ["Assumed", one => one.assumed, number],
  ["Added value", one => one.added_value, number]];

/** The candidates of the first slot; an effect that no candidate tells has no column. */
function candidates(found) {
  const told = EFFECTS.filter(([, of]) => found.some(one => of(one) !== undefined));
  return table(["Action", "Probability", "Acceptance", ...told.map(([title]) => title), "Priority",
      "Contributions"],
    found.map(one => [one.action_id, percent(one.probability), percent(one.acceptance),
      ...told.map(([, of, say]) => of(one) === undefined ? "–" : say(of(one))),
      number(one.priority), contributions(one.contributions)]));
}

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
      candidates(why.candidates));
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
show("lift", async () => lift(await call("v1/lift", {})));
fill();

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
