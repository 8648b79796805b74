// The API's page, made from the OpenAPI document that the server makes from its own types.

import { keyHeaders } from "./api.js";
import { $, el } from "./dom.js";

const NOW = new Date().toISOString().slice(0, 19) + "Z";
const EXAMPLES = {
  post_events: { event_id: "e1", event_type: "click", user_id: "1", item_id: "50", timestamp: NOW, properties: { surface: "home", region: "DE" } },
  post_items: { item_id: "i9", title: "A new film", categories: ["Comedy"], available: true },
  post_users: { user_id: "1", interests: ["Comedy"], attributes: { age: 30 } },
  post_impressions: { request_id: "r1", user_id: "1", timestamp: NOW, surface: "home", items: ["50", "133"] },
};
const PATH_EXAMPLES = { feed: "/v1/users/1/feed?n=5", features: "/v1/users/1/features", similar: "/v1/items/50/similar?n=5" };

const plain = (text) => el("code", {}, text);

function typeOf(schema, seen = 0) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.map((one) => typeOf(one, seen + 1)).join(" | ");
  if (schema.type === "array") return `[${typeOf(schema.items, seen + 1) || "any"}, …]`;
  if (schema.type === "object") {
    const values = schema.additionalProperties;
    return values && seen < 3 ? `{name: ${typeOf(values, seen + 1)}}` : "object";
  }
  return schema.type ?? "any";
}

function limits(schema) {
  const words = { minimum: "at least", maximum: "at most", minLength: "at least characters:", maxLength: "at most characters:", default: "default" };
  return Object.entries(words).filter(([name]) => schema?.[name] !== undefined && schema[name] !== null)
    .map(([name, word]) => `${word} ${JSON.stringify(schema[name])}`).join(", ");
}

function table(head, rows) {
  return el("table", {}, el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((cell) => el("td", {}, cell))))));
}

function fields(schema, components) {
  const found = schema?.oneOf?.[0] ?? schema;
  const target = found?.$ref ? components[found.$ref.split("/").at(-1)] : found;
  if (!target?.properties) return null;
  const required = new Set(target.required ?? []);
  return table(["field", "type", ""], Object.entries(target.properties).map(([name, property]) =>
    [plain(name), plain(typeOf(property)), [required.has(name) ? "required" : "", limits(property), property.description].filter(Boolean).join("; ")]));
}

function example(method, path, operation) {
  const body = EXAMPLES[operation.operationId];
  const address = location.origin + (PATH_EXAMPLES[operation.operationId] ?? path);
  return body
    ? `curl -s ${address} -H 'content-type: application/json' \\\n  -d '${JSON.stringify(body)}'`
    : `curl -s '${address}'`;
}

async function tryIt(path, output) {
  output.textContent = "…";
  const answer = await fetch(path, { headers: keyHeaders() });
  const text = await answer.text();
  let shown = text;
  try {
    shown = JSON.stringify(JSON.parse(text), null, 2);
  } catch { /* metrics are text */ }
  output.textContent = `${answer.status}\n${shown.slice(0, 6000)}`;
}

function call(method, path, operation, components) {
  const body = operation.requestBody?.content["application/json"].schema;
  const good = Object.entries(operation.responses).find(([status]) => status < 400);
  const answer = good?.[1].content?.["application/json"]?.schema;
  const output = el("pre", { "aria-live": "polite" });
  const sample = PATH_EXAMPLES[operation.operationId] ?? path;
  return el("section", { id: operation.operationId, "aria-labelledby": `${operation.operationId}-title` },
    el("div", { class: "call" }, el("span", { class: "method" }, method), plain(path),
      el("strong", { id: `${operation.operationId}-title` }, operation.summary ?? "")),
    operation.parameters?.length
      ? table(["parameter", "type", ""], operation.parameters.map((p) =>
          [plain(p.name), plain(typeOf(p.schema)), [p.description, p.in === "path" ? "in the path" : "", limits(p.schema)].filter(Boolean).join("; ")]))
      : null,
    body ? el("h3", {}, "Body: one of these, or a list of up to 1,000") : null,
    body ? fields(body, components) : null,
    el("h3", {}, "Example"), el("pre", {}, plain(example(method, path, operation))),
    method === "GET" ? el("button", { type: "button", onclick: () => tryIt(sample, output) }, `Try ${sample}`) : null,
    method === "GET" ? output : null,
    el("details", {}, el("summary", {}, "Answers"),
      table(["status", ""], Object.entries(operation.responses).map(([status, one]) => [status, one.description])),
      answer ? fields(answer, components) : null));
}

async function start() {
  const answer = await fetch("/openapi.json").catch(() => null);
  if (!answer?.ok) {
    $("notice").textContent = "The server does not answer. Is it running?";
    $("notice").hidden = false;
    return;
  }
  const found = await answer.json();
  const calls = Object.entries(found.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [method.toUpperCase(), path, operation]));
  $("contents").replaceChildren(...calls.map(([method, path, operation]) =>
    el("div", {}, el("a", { href: `#${operation.operationId}` }, `${method} ${path}`))));
  $("calls").replaceChildren(...calls.map((one) => call(...one, found.components.schemas)));
}

void start();
