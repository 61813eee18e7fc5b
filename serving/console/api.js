/* The page of the API: each route of docs.json with its scope, fields, example, statuses, and a try. */
import {$, ask, call, el, show, table} from "./page.js";

const JSON_TYPE = "application/json";
const nameOf = reference => reference.split("/").pop();
const linked = name => el("a", {href: `#type-${name}`}, name);
const words = text => (text || "").split("`").map((one, i) => i % 2 ? el("code", {}, one) : one);
const paragraphs = text => (text || "").split("\n\n").map(one => el("p", {}, ...words(one)));
const folded = (title, attributes, ...inside) =>
  el("details", attributes, el("summary", {}, title), ...inside);

/** Say in words which values a schema allows; an object of its own name is a link. */
function kind(schema) {
  if (schema.$ref) return [linked(nameOf(schema.$ref))];
  const several = schema.anyOf || schema.oneOf;
  if (several) return several.flatMap((one, i) => i ? [" or ", ...kind(one)] : kind(one));
  if (schema.enum) return [schema.enum.map(one => JSON.stringify(one)).join(", ")];
  if ("const" in schema) return [JSON.stringify(schema.const)];
  if (schema.type === "array") return ["list of ", ...(schema.items ? kind(schema.items) : ["anything"])];
  if (schema.type === "object" && typeof schema.additionalProperties === "object")
    return ["object of ", ...kind(schema.additionalProperties)];
  return [schema.format ? `${schema.type} (${schema.format})` : schema.type || "anything"];
}

function limits(schema) {
  const named = {minimum: "≥", maximum: "≤", exclusiveMinimum: ">", exclusiveMaximum: "<",
    minLength: "length ≥", maxLength: "length ≤", minItems: "items ≥", maxItems: "items ≤"};
  return Object.entries(named).filter(([key]) => key in schema).map(([key, sign]) => `${sign} ${schema[key]}`).join(", ");
}

function fields(schema) {
  const required = new Set(schema.required || []), all = Object.entries(schema.properties || {});
  if (!all.length) return el("p", {class: "soft"}, "No fields.");
  return table(["Field", "Type", "", "Description"], all.map(([name, one]) => [
    el("code", {}, name), el("span", {}, ...kind(one)), required.has(name) ? "required" : "",
    el("span", {}, ...words(one.description), limits(one) ? ` (${limits(one)})` : "")]));
}

function statuses(operation) {
  return table(["Status", "Meaning", "Body"], Object.entries(operation.responses).map(([status, one]) => {
    const schema = ((one.content || {})[JSON_TYPE] || {}).schema;
    return [status, el("span", {}, ...words(one.description)), el("span", {}, ...(schema ? kind(schema) : [""]))];
  }));
}

/** Make a form that sends the request and shows the answer. */
function attempt(path, method, example) {
  const form = el("form", {}), answer = el("div", {class: "wide", "aria-live": "polite"});
  const text = method === "post" ? el("textarea", {name: "body", spellcheck: "false",
    rows: Math.min(14, example.split("\n").length + 1)}) : null;
  if (text) {
    text.value = example;
    form.append(el("label", {class: "wide"}, "Body", text));
  }
  form.append(el("button", {}, `Send ${method.toUpperCase()} ${path}`), answer);
  form.addEventListener("submit", async event => {
    event.preventDefault();
    try {
      const found = await ask(path.slice(1), text ? text.value : undefined);
      let body = found.body;
      try { body = JSON.stringify(JSON.parse(body), null, 2); } catch { /* plain text */ }
      answer.replaceChildren(el("p", {class: found.ok ? "good" : "bad"}, `Status ${found.status}`), el("pre", {}, body));
    } catch (error) { answer.replaceChildren(el("p", {class: "bad"}, error.message)); }
  });
  return form;
}

function route(path, method, operation, types) {
  const id = `${method}${path}`.replaceAll("/", "-"), parts = [], needed = operation.security || [];
  const scopes = needed.flatMap(one => Object.values(one).flat());
  parts.push(el("h2", {id: `${id}-title`}, `${method.toUpperCase()} ${path}`), ...paragraphs(operation.description));
  if (method !== "post") parts.push(el("p", {class: "soft"},
    scopes.length ? `Needs a key with the scope ${scopes.join(", ")}.` : needed.length ? "Needs a key." : "Needs no key."));
  const content = ((operation.requestBody || {}).content || {})[JSON_TYPE];
  const example = JSON.stringify((content || {}).example || {}, null, 2);
  if (content) {
    const schema = content.schema.$ref ? types[nameOf(content.schema.$ref)] : content.schema;
    parts.push(el("h3", {}, "Request"), fields(schema), el("h3", {}, "Example"), el("pre", {}, example));
  }
  parts.push(folded("Answers", {}, statuses(operation)), folded("Try it", {}, attempt(path, method, example)));
  return el("section", {id, "aria-labelledby": `${id}-title`}, ...parts);
}

show("api", async () => {
  const found = await call("docs.json"), types = found.components.schemas;
  const routes = Object.entries(found.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => route(path, method, operation, types)));
  return [...paragraphs(found.info.description),
    el("section", {}, el("nav", {"aria-label": "Routes"}, ...routes.map(one =>
      el("a", {href: `#${one.id}`}, one.querySelector("h2").textContent)))),
    ...routes, el("section", {}, el("h2", {}, "Types"), ...Object.entries(types).map(([name, schema]) =>
      folded(name, {id: `type-${name}`}, ...paragraphs(schema.description),
        schema.properties ? fields(schema) : el("p", {}, ...kind(schema)))))];
});
addEventListener("hashchange", () => {  // a link to a type opens it
  const target = $(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
});
