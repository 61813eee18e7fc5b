/* Parts of both pages: elements, requests, and the key, which the tab keeps until it is closed. */
const KEY = "nba.key";
const root = new URL("..", import.meta.url);  // a proxy may serve everything under a prefix
const waiting = new Map();  // sections that the server refused without a key, and their work
const listeners = [];

export const $ = id => document.getElementById(id);

/** Make an element with text or children, never with HTML: a value cannot add markup. */
export function el(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

export function table(heads, rows) {
  return el("div", {class: "scroll"}, el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map(head => el("th", {scope: "col"}, head)))),
    el("tbody", {}, ...rows.map(row => el("tr", {}, ...row.map(cell =>
      el("td", typeof cell === "object" ? {} : {class: "n"}, cell)))))));
}

/** Send a request with the key, if there is one; `text` is the body of a POST. */
export async function ask(path, text) {
  const key = sessionStorage.getItem(KEY), headers = key ? {authorization: `Bearer ${key}`} : {};
  if (text !== undefined) headers["content-type"] = "application/json";
  const sent = text === undefined ? {headers} : {method: "POST", headers, body: text};
  const answer = await fetch(new URL(path, root), sent), body = await answer.text();
  if (answer.status === 401) askForKey(parsed(body).error);
  return {status: answer.status, ok: answer.ok, body};
}

/** Send a request and return the JSON of its answer; throws an Error with the server's sentence. */
export async function call(path, body) {
  const answer = await ask(path, body === undefined ? undefined : JSON.stringify(body));
  const content = parsed(answer.body);
  if (!answer.ok && content.error)
    throw Object.assign(new Error(content.error), {status: answer.status});
  return content;
}

function parsed(text) {
  try { return JSON.parse(text); }
  catch { return {error: "The answer of the server is not JSON."}; }
}

/** Fill a section; if a key is missing, fill it once there is one. */
export async function show(id, work) {
  const place = $(id);
  try {
    place.replaceChildren(...await work());
    place.classList.remove("soft");
  } catch (error) {
    const keyless = error.status === 401;
    if (keyless) waiting.set(id, work);
    place.replaceChildren(el("p", {class: keyless ? "soft" : "bad"},
      keyless ? "This section needs a key." : error.message));
  }
}

/** Do something whenever another key is used. */
export const onKey = listener => listeners.push(listener);

function askForKey(why) {
  sessionStorage.removeItem(KEY);
  $("forget").hidden = true;
  $("key-why").textContent = why;
  if ($("key").hidden) {
    $("key").hidden = false;
    $("key-form").elements.key.focus();
  }
}

$("key-form").addEventListener("submit", event => {
  event.preventDefault();
  const key = event.target.elements.key.value.trim();
  if (!/^[!-~]+$/.test(key)) {  // no header can hold it
    $("key-why").textContent = "A key has letters, digits, dashes and underscores only.";
    return;
  }
  sessionStorage.setItem(KEY, key);
  event.target.reset();
  $("key").hidden = true;
  $("forget").hidden = false;
  const works = [...waiting];
  waiting.clear();
  for (const listener of listeners) listener();
  for (const [id, work] of works) show(id, work);
});
$("forget").addEventListener("click", () => {
  sessionStorage.removeItem(KEY);
  location.assign(location.pathname);  // without the request that a link may hold
});
$("forget").hidden = !sessionStorage.getItem(KEY);
