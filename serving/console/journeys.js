/* The page of journeys. Its state is its address; it shows one answer of /v1/journeys. */
import {$, call, el, onKey, table} from "./page.js";
import {drawn, highlight} from "./drawing.js";

const TILES = ["map", "funnel", "ways", "promises"], OLD_S = 120, ROWS = 50, WAYS = 10, LINES = 60;
const api = new URL("../v1/journeys", import.meta.url);
const count = value => new Intl.NumberFormat("en").format(value);
const narrow = matchMedia("screen and (max-width: 44rem)");
let answer = null, received = 0;  // what is shown, and when it came

const state = () => new URLSearchParams(location.search);

/** Read the filter of the address; a day "to" is the last one of the period. */
function filter(from) {
  const found = {}, one = name => from.get(name);
  if (one("map")) found.map = one("map");
  if (one("since")) found.since = one("since");
  if (one("until")) found.until = new Date(Date.parse(one("until")) + 864e5).toISOString().slice(0, 10);
  if (one("persona")) found.persona = from.getAll("persona");
  if (one("how")) found.how = from.getAll("how");
  if (from.has("channel")) found.entry_channel = from.getAll("channel").map(name => name || null);
  if (one("through")) found.through = one("through");
  for (const text of from.getAll("attribute")) {
    const [name, value] = JSON.parse(text);
    found.attributes = {...found.attributes, [name]: [...(found.attributes || {})[name] || [], value]};
  }
  return found;
}

const request = (view, from) => ({view, filter: filter(from), ...(view === "ways" || view === "page" ? {limit: WAYS} : {}),
  ...(view === "map" || view === "page" ? from.get("lines") === "all" ? {} : {most_edges: LINES} : {})});

/** Go to another state of the page. */
function go(change, keep = false) {
  const next = state();
  change(next);
  history[keep ? "replaceState" : "pushState"](null, "", `?${next}`);
  return render();
}

async function render() {
  const from = state(), query = from.get("list");
  if (query && !from.has("map")) return go(next => adopt(next, JSON.parse(query).filter || {}), true);
  showList(query, from);
  const wanted = JSON.stringify({...request("page", from), picture: true});
  if (answer && answer.asked === wanted) return;
  document.body.setAttribute("aria-busy", "true");
  try {
    const found = await call("v1/journeys", JSON.parse(wanted));
    if (JSON.stringify({...request("page", state()), picture: true}) !== wanted) return;  // a later one is on its way
    [answer, received] = [Object.assign(found, {asked: wanted}), performance.now()];
    fill(from);
    for (const name of TILES) tile(name, from);
    age();
    if (!answer.map.journeys.n) await nothing();
  } catch (error) { failed(error); }
  finally { document.body.removeAttribute("aria-busy"); }
}

/** Say why there is no journey, and what to do: how many there are without the filter, or how they come to be. */
async function nothing() {
  const shown = answer, list = {relation: "journeys", filter: {map: answer.filter.map}};
  const {total} = await call("v1/journeys", {view: "list", list, limit: 1});
  if (shown !== answer) return;
  const clear = el("button", {class: "plain", type: "button"}, "Clear the filter");
  clear.addEventListener("click", () => $("all").click());
  $("map").prepend(total ? el("p", {class: "row"}, `Without the filter there are ${count(total)} journeys on this map.`, clear)
    : el("p", {}, "No event of this map has come yet. Send one with ", el("a", {href: "../#post-v1-events"}, "POST /v1/events"), "."));
}

/** Take the filter of a list that was opened by itself. */
function adopt(next, from) {
  next.set("map", from.map || "lifecycle");
  if (from.since) next.set("since", from.since.slice(0, 10));
  if (from.until) next.set("until", new Date(Date.parse(from.until) - 1).toISOString().slice(0, 10));
  for (const [name, key] of [["persona", "persona"], ["how", "how"], ["entry_channel", "channel"]])
    for (const value of from[name] || []) next.append(key, value || "");
  if (from.through) next.set("through", from.through);
  for (const [name, values] of Object.entries(from.attributes || {}))
    for (const value of values) next.append("attribute", JSON.stringify([name, value]));
}

/** Say what went wrong in the words of the server; what was shown before stays, with its age. */
function failed(error) {
  const again = el("button", {class: "plain", type: "button"}, "Try again");
  again.addEventListener("click", () => { answer = null; render(); });
  const why = el("span", {class: error.status === 401 ? "soft" : "bad"}, error.message, " ");
  $("about").replaceChildren(why, again);
  if (error.status === 503) setTimeout(() => { if (!answer) render(); }, 15_000);  // not counted yet
  if (!answer) for (const name of TILES) $(name).replaceChildren(el("p", {class: "soft"}, "Nothing to show yet."));
  else age();
}

function options(name, values, chosen, any) {
  const select = $("filter").elements[name];
  const all = any === null ? [] : [el("option", {value: ""}, any)];
  select.replaceChildren(...all, ...values.map(([value, text]) => el("option", {value}, text)));
  select.value = chosen || "";
  select.closest("label").hidden = values.length === 0;
}

function fill(from) {
  const known = answer.choices, same = values => values.map(value => [value, value]);
  options("map", same(known.maps), answer.filter.map, null);
  options("persona", same(known.personas), from.get("persona"), "all");
  options("how", same(known.hows), from.get("how"), "all");
  options("channel", same(known.channels), from.get("channel"), "all");
  options("through", same(answer.map.nodes.map(node => node.label)), from.get("through"), "anything");
  options("attribute", Object.entries(known.attributes).flatMap(([name, values]) =>
    [...values, null].map(value => [JSON.stringify([name, value]), `${name}: ${value ?? "unknown"}`])),
    from.get("attribute"), "all");
  for (const name of ["since", "until"]) $("filter").elements[name].value = from.get(name) || "";
  $("filter").hidden = false;
}

/** Say what all tiles count: the unit, the period, the filter, and how old the data are. */
function age() {
  if (!answer) return;
  const old = answer.age_s + (performance.now() - received) / 1000, wait = answer.waiting;
  const from = state(), narrowed = [];
  for (const [name, said] of [["persona", "persona"], ["channel", "first channel"], ["how", "ended"], ["through", "through"]])
    if (from.get(name)) narrowed.push(`${said} ${from.getAll(name).join(" or ")}`);
  for (const text of from.getAll("attribute")) {
    const [name, value] = JSON.parse(text);
    narrowed.push(`${name} ${value ?? "unknown"}`);
  }
  const period = !from.get("since") && !from.get("until") ? "all so far"
    : `began ${from.get("since") || "…"} to ${from.get("until") || "…"} (${answer.zone})`;
  const parts = [el("strong", {}, "Unit: journeys"), `; ${period}; `, el("bdi", {}, narrowed.join(", ") || "no other filter"), ". ",
    el("span", {class: old >= OLD_S ? "old" : ""}, `As of ${answer.as_of.slice(0, 16).replace("T", " ")} UTC, ${count(Math.round(old))} s old`),
    wait ? `, ${count(wait)} customers with newer events` : "", `. Data version ${answer.data_version}. `];
  if (answer.erased) parts.push(`${count(answer.erased)} customers were erased since. `);
  const again = $("about").querySelector("button") || el("button", {class: "plain", type: "button"}, "Refresh");
  if (!again.onclick) again.onclick = () => { answer = null; render(); };
  $("about").replaceChildren(...parts, again);
}
setInterval(age, 5000);

function tile(name, from, anew = false) {
  const {sentence, picture, table: figures} = answer.drawn[name], seen = drawn(picture), place = $(name);
  if (name === "map") highlight(seen);
  const open = place.querySelector("details.same"), same = el("details", {class: "same"},
    el("summary", {}, name === "map" ? "The same as a list" : "The same as a table"), drawn(figures));
  same.open = narrow.matches || (!anew && open !== null && open.open);
  const notes = [];
  if (name === "map" && (answer.map.other_ways.length || from.get("lines") === "all")) {
    const all = from.get("lines") === "all";
    const more = el("button", {class: "plain", type: "button"}, all ? "Show the frequent ways only" : "Show all ways");
    more.addEventListener("click", () => go(next => all ? next.delete("lines") : next.set("lines", "all")));
    notes.push(more);
  }
  place.classList.remove("soft");
  place.replaceChildren(drawn(sentence), el("div", {class: "scroll seen", tabindex: "-1"}, seen),
    el("div", {class: "row foot"}, ...notes, same, asked(name, from)));
}

/** Offer the JSON of a tile, and the command that asks for it. */
function asked(name, from) {
  const body = JSON.stringify(request(name, from)).replaceAll("'", "'\\''");
  const shown = el("pre", {}), fold = el("details", {class: "json"}, el("summary", {}, "as JSON"),
    el("pre", {}, `curl ${api} -H 'content-type: application/json' -H "authorization: Bearer $NBA_KEY" -d '${body}'`), shown);
  fold.addEventListener("toggle", () => { if (!shown.textContent) shown.textContent = JSON.stringify(answer[name], null, 1); });
  return fold;
}

/** Write a cell of a list: a time, a duration, or a name apart from the direction of the text around it. */
function cell(name, value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value)) return `${value.slice(0, 16).replace("T", " ")} UTC`;
  if (typeof value === "number" && /_s$/.test(name)) return value < 5400 ? `${count(Math.round(value / 60))} min`
    : value < 172800 ? `${(value / 3600).toFixed(1)} h` : `${(value / 86400).toFixed(1)} days`;
  return el("bdi", {}, typeof value === "object" ? JSON.stringify(value) : String(value));
}

// Columns of numbers that say nothing to people.
const hidden = /bucket$|_us$|^seq$|^path$|^is_|^next_node$/;

async function showList(query, from) {
  $("list").hidden = !query;
  if (!query) return;
  $("list-title").textContent = "Loading …";
  try {
    const list = JSON.parse(query), after = Number(from.get("after") || 0);
    const found = await call("v1/journeys", {view: "list", list, limit: ROWS, after});
    const where = Object.entries(list.where || {}).map(([name, value]) => `${name.replaceAll("_", " ")} ${value ?? "unknown"}`);
    $("list-title").replaceChildren(`${count(found.total)} ${list.relation.replaceAll("_", " ")}`,
      where.length ? ": " : "", el("bdi", {}, where.join(", ")));
    // What all rows have in common stands in the title.
    const names = Object.keys(found.rows[0] || {}).filter(name => !hidden.test(name) && !(name in (list.where || {})));
    const first = names.includes("customer_id") ? ["customer_id", ...names.filter(name => name !== "customer_id")] : names;
    const step = (text, to) => {
      const button = el("button", {class: "plain", type: "button"}, text);
      button.addEventListener("click", () => go(next => next.set("after", to)));
      return button;
    };
    $("rows").replaceChildren(found.rows.length
      ? table(first.map(name => name.replaceAll("_", " ").replace(/ s$/, "")), found.rows.map(row => first.map(name => cell(name, row[name]))))
      : el("p", {class: "soft"}, "No row. Leave out a filter, or choose a longer period."),
      el("p", {class: "row"}, `Rows ${count(Math.min(after + 1, found.total))} to ${count(after + found.rows.length)} of ${count(found.total)}.`,
        after > 0 ? step("Before", Math.max(0, after - ROWS)) : null,
        after + found.rows.length < found.total ? step("Next", after + ROWS) : null));
  } catch (error) {
    $("list-title").replaceChildren("List");
    $("rows").replaceChildren(el("p", {class: error.status === 401 ? "soft" : "bad"}, error.message));
  }
}

document.addEventListener("click", event => {
  const link = event.target.closest("a");
  const address = link && (link.getAttribute("href") || "");
  if (!address || !address.startsWith("?list=") || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(next => { next.set("map", answer.filter.map); next.set("list", new URLSearchParams(address).get("list")); next.delete("after"); });
  $("list-title").focus();
  $("list").scrollIntoView({block: "start"});
});
$("filter").addEventListener("change", event => {
  const {name, value} = event.target;
  go(next => {
    value ? next.set(name, value) : next.delete(name);
    next.delete("list");
    if (name === "map") for (const other of ["through", "lines"]) next.delete(other);
  });
});
$("filter").addEventListener("submit", event => event.preventDefault());
$("all").addEventListener("click", () => go(next => [...next.keys()].filter(name => name !== "map").forEach(name => next.delete(name))));
$("close").addEventListener("click", () => go(next => { next.delete("list"); next.delete("after"); }));
narrow.addEventListener("change", () => { if (answer) for (const name of TILES) tile(name, state(), true); });
addEventListener("popstate", render);
onKey(() => { answer = null; render(); });
render();
