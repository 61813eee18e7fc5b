/* The guardrails: what each has counted, what is switched off, and how to offer it again. */
import {call, el, show, table} from "./page.js";
import {count, number} from "./numbers.js";

const time = text => new Date(text).toLocaleString("en-GB", {dateStyle: "medium", timeStyle: "short"});

/** Show whether a test has exceeded its limit, in words, never by its colour alone. */
const state = (test, stop) => stop ? el("strong", {class: "bad"}, "switched off")
  : test.exceeded ? el("strong", {class: "bad"}, "too much harm") : el("span", {class: "good"}, "within its limit");

/** A form that offers an action again; the server asks for a key with the scope admin. */
function again(stop) {
  const said = el("span", {class: "bad", role: "alert"});
  const form = el("form", {class: "again"},
    el("label", {}, "Cause ", el("input", {name: "cause", required: "", size: "24", autocomplete: "off",
      "aria-label": `Why ${stop.action_id} may be offered again`})),
    el("button", {}, "Offer again"), said);
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const cause = new FormData(form).get("cause").trim();
    try {
      await call("v1/guardrails/lift", {guardrail: stop.guardrail, action_id: stop.action_id, cause});
      await fill();
    } catch (error) {
      said.textContent = error.message;
    }
  });
  return form;
}

function tests(one, stops) {
  const rows = [...(one.policy ? [one.policy] : []), ...one.actions];
  if (!rows.length) return null;
  return table(["Of", "State", "Harm seen", "After it", "Expected at the limit", "Rate ratio", "Evidence", "Stops at"],
    rows.map(test => {
      const stop = stops.find(it => it.guardrail === one.name && it.action_id === test.action_id);
      return [test.action_id || "all customers of the policy", state(test, stop), count(test.harmed),
        count(test.after), number(test.expected), number(test.rate_ratio), number(test.e_value), number(test.stops_at)];
    }));
}

function guardrails(found) {
  if (!found.guardrails.length)
    return [el("p", {class: "soft"}, "The catalogue names no guardrails.")];
  const stopped = found.stops.filter(stop => stop.lifted_at === null);
  const parts = stopped.map(stop => el("div", {class: "row stop"},
    el("p", {}, el("strong", {class: "bad"}, `${stop.action_id} is switched off`),
      ` by ${stop.guardrail} since ${time(stop.stopped_at)}.`), again(stop)));
  if (!stopped.length) parts.push(el("p", {class: "good"}, "No action is switched off."));
  for (const one of found.guardrails) parts.push(el("details", stopped.some(it => it.guardrail === one.name)
    ? {open: ""} : {}, el("summary", {}, `${one.name}: ${one.words}`),
    el("p", {class: "soft"}, [one.description, `Counts ${one.counts}`
      + (one.at_most === null ? "" : ` of at most ${number(one.at_most)}`)
      + ` within ${number(one.within_days)} days, against ${one.against}; limit ${number(one.limit)} times.`]
      .filter(text => text).join(" ")),
    tests(one, stopped)));
  return parts;
}

export const fill = () => show("guardrails", async () => guardrails(await call("v1/guardrails", {})));
