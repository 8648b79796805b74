// Calls of the server: JSON in and out; a problem document becomes an Error with its detail.

import { $ } from "./dom.js";

const KEY = "freshet-key";

export class Problem extends Error {
  constructor(message, status, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

async function askForKey() {
  const dialog = $("key-dialog");
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  sessionStorage.setItem(KEY, $("key").value);
  $("key").value = "";
}

/** The key that a person has given, as headers. */
export function keyHeaders() {
  const key = sessionStorage.getItem(KEY);
  return key ? { "X-API-Key": key } : {};
}

async function call(path, options = {}) {
  const headers = { "Content-Type": "application/json", ...keyHeaders() };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Problem("The server cannot be reached. Is it running?", 0);
  }
  if (answer.status === 401) {
    await askForKey();
    return call(path, options);
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const wait = Number(answer.headers.get("Retry-After")) || 0;
  throw new Problem(body.detail || `The server answered ${answer.status}.`, answer.status, wait);
}

const segment = encodeURIComponent;

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value != null && value !== "");
  return new URLSearchParams(given).toString();
}

/** Some profiles; none where the server does not list them (403). */
export async function people(n) {
  try {
    return (await call(`/v1/users?${query({ n })}`)).users;
  } catch (error) {
    if (error instanceof Problem && error.status === 403) return [];
    throw error;
  }
}
export const feed = (user, asked) => call(`/v1/users/${segment(user)}/feed?${query(asked)}`);

/** Names of the surfaces that answer a person. */
export async function surfaces() {
  const described = await call("/openapi.json");
  const parameters = described.paths["/v1/users/{id}/feed"].get.parameters;
  return parameters.find(({ name }) => name === "surface").schema.enum;
}

export const features = (user) => call(`/v1/users/${segment(user)}/features`);
export const similar = (item, n) => call(`/v1/items/${segment(item)}/similar?${query({ n })}`);
export const trending = (n) => call(`/v1/trending?${query({ n })}`);
export const post = (kind, document) => call(`/v1/${kind}`, { method: "POST", body: JSON.stringify(document) });
