// The demo page: a chosen person, their actions, and the feeds that follow.

import * as api from "./api.js";
import { $, el, titleOf } from "./dom.js";
import { showFeatures, showItems, showMeasured, showTimings } from "./features.js";
import { ACTIONS, CONTROLS, FeedList } from "./feed.js";
import { showTrace } from "./trace.js";

const SHOWN = 12;
const POLL_MS = 3000;
const DEGRADED = {
  hydrate: "the store of features is away",
  retrieve: "the model is away",
  rank: "the ranker is away",
};

const state = { user: "", session: "", surface: "home", requestId: "", entries: [], next: null, version: 0 };
const list = new FeedList($("feed"), act);

function random(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return prefix + [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function say(message) {
  $("notice").textContent = message;
  $("notice").hidden = !message;
}

function sayDegraded(stages) {
  const why = stages.map((stage) => DEGRADED[stage] ?? `${stage} fell back`).join(", ");
  say(stages.length ? `Degraded: ${why}. This is the best list that can be made without it.` : "");
}

/** Runs what may fail, and says so in words where it does. */
async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error;
    const again = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
    say(error.message + again);
    return undefined;
  }
}

async function choose(user) {
  state.user = user;
  state.session = random("demo-");
  state.version += 1;
  state.entries = [];
  list.clear();
  showMeasured(null);
  history.replaceState(null, "", `#${encodeURIComponent(user)}`);
  $("person-id").value = user;
  $("person").value = [...$("person").options].some((option) => option.value === user) ? user : "";
  $("feed-title").textContent = `Feed of ${user}`;
  await refresh();
}

async function refresh(after) {
  const { user, version } = state;
  return attempt(async () => {
    const answer = await api.feed(user, { n: SHOWN, surface: state.surface, after });
    if (version !== state.version) return undefined;
    const change = draw(answer);
    void refreshFeatures();
    return { answer, change };
  });
}

function draw(answer) {
  state.requestId = answer.request_id;
  state.next = answer.next;
  $("more").hidden = !answer.next;
  state.entries = answer.items;
  const change = list.show(answer.items);
  sayDegraded(answer.degraded);
  showTimings(answer);
  $("feed-note").textContent = answer.model_version ? `model ${answer.model_version}` : "no model yet";
  return change;
}

/** The page that follows, below what is shown. */
async function showMore() {
  const { user, version, next, surface } = state;
  const answer = await attempt(() => api.feed(user, { n: SHOWN, surface, next }));
  if (!answer || version !== state.version || next !== state.next) return;
  const above = state.entries;
  draw({ ...answer, items: [...above, ...answer.items.map((entry) => ({ ...entry, rank: entry.rank + above.length }))] });
  $("announcer").textContent = `${answer.items.length} more.`;
}

async function explain() {
  const { user, surface } = state;
  const answer = await attempt(() => api.feed(user, { n: SHOWN, surface, explain: "full", dry_run: true }));
  if (answer) showTrace(answer);
}

async function refreshFeatures() {
  const { user, version } = state;
  if (!user) return;
  try {
    const row = await api.features(user);
    if (version !== state.version) return;
    showFeatures(row);
    $("interests").hidden = row.has_vector || row.recent.length > 0 || row.interests.length > 0;
  } catch (error) {
    if (!(error instanceof api.Problem)) throw error; // the feed's own notice says what is wrong
  }
}

const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

async function act(type, itemId) {
  if (type === "similar") return showSimilar(itemId);
  const entry = state.entries.find((found) => found.item_id === itemId);
  if (!entry) return undefined;
  const isControl = CONTROLS.some((control) => control.type === type);
  const started = performance.now();
  list.busy(itemId, true);
  const receipt = await attempt(() => api.post("events", {
    event_id: random("demo-"),
    ...(isControl ? { event_type: "feedback" } : { event_type: type }),
    user_id: state.user,
    item_id: itemId,
    timestamp: Date.now(),
    session_id: state.session,
    request_id: state.requestId,
    properties: { surface: "demo", position: entry.rank, ...(isControl ? { control: type } : {}) },
  }));
  list.busy(itemId, false);
  if (!receipt) return undefined;
  const stored = performance.now();
  const found = await refresh(receipt.token);
  if (!found) return undefined;
  const answered = performance.now();
  await painted();
  const ended = performance.now();
  showMeasured({
    total: ended - started, receipt: stored - started, feed: answered - stored, drawn: ended - answered,
  });
  announce(type, entry, found, ended - started);
  return undefined;
}

function announce(type, entry, { answer, change }, milliseconds) {
  const done = [...ACTIONS, ...CONTROLS].find((action) => action.type === type).label;
  const first = answer.items[0] ? `First is now ${titleOf(answer.items[0])}.` : "";
  $("announcer").textContent = `${done}: ${titleOf(entry)}. New feed after ${Math.round(milliseconds)} milliseconds, ` +
    `${change.fresh} new, ${change.moved} moved. ${first}`;
}

/** A control that is about no item. */
async function control(name, said) {
  const receipt = await attempt(() => api.post("events", {
    event_id: random("demo-"),
    event_type: "feedback",
    user_id: state.user,
    timestamp: Date.now(),
    properties: { surface: "demo", control: name },
  }));
  if (!receipt) return;
  const found = await refresh(receipt.token);
  if (found) $("announcer").textContent = `${said}: ${found.change.fresh} new, ${found.change.moved} moved.`;
}

async function listSurfaces() {
  const names = (await attempt(api.surfaces)) ?? [state.surface];
  $("surface").replaceChildren(...names.map((name) => el("option", { value: name }, name)));
  $("surface").value = state.surface;
}

async function showSimilar(itemId) {
  const entry = state.entries.find((found) => found.item_id === itemId);
  const found = await attempt(() => api.similar(itemId, 8));
  if (!found) return;
  $("similar-title").textContent = `More like ${entry ? titleOf(entry) : itemId}`;
  showItems($("similar-items"), found.items);
  $("similar").showModal();
}

async function showTrending() {
  const found = await attempt(() => api.trending(50));
  if (!found) return;
  showItems($("trending"), found.items.slice(0, 6));
  const genres = [...new Set(found.items.flatMap((entry) => entry.item?.categories ?? []))].sort();
  $("interest-choices").replaceChildren(...genres.map((name) =>
    el("label", { class: "chip" }, el("input", { type: "checkbox", value: name, onchange: sayInterests }), name)));
}

async function sayInterests() {
  const interests = [...$("interest-choices").querySelectorAll(":checked")].map((box) => box.value);
  const receipt = await attempt(() => api.post("users", { user_id: state.user, interests }));
  if (!receipt) return;
  await refresh(receipt.token);
  $("interests").hidden = false; // one may want to choose more
}

async function listPeople() {
  const found = await attempt(() => api.people(100));
  const known = (found ?? []).sort((a, b) => a.user_id.localeCompare(b.user_id, undefined, { numeric: true }));
  $("person").append(...known.map((user) => {
    const about = ["age", "gender", "occupation"].map((name) => user.attributes[name]).filter((value) => value != null);
    return el("option", { value: user.user_id }, [user.user_id, about.join(", ")].filter(Boolean).join(" · "));
  }));
  return known;
}

async function start() {
  $("who").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = $("person-id").value.trim();
    if (id) void choose(id);
  });
  $("person").addEventListener("change", () => $("person").value && void choose($("person").value));
  $("new-person").addEventListener("click", () => void choose(random("guest-")));
  $("surface").addEventListener("change", () => {
    state.surface = $("surface").value;
    void choose(state.user);
  });
  $("more").addEventListener("click", () => void showMore());
  $("explore").addEventListener("click", () => void control("explore", "Something new for an hour"));
  $("reset").addEventListener("click", () => void control("reset", "Nothing that was asked for is in force"));
  $("show-trace").addEventListener("click", () => void explain());
  const [known] = await Promise.all([listPeople(), showTrending(), listSurfaces()]);
  await choose(decodeURIComponent(location.hash.slice(1)) || known[0]?.user_id || random("guest-"));
  setInterval(() => document.hidden || void refreshFeatures(), POLL_MS);
}

void start();
