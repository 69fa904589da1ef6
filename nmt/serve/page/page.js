"use strict";

// Translates as one types: a request for each pause, the one before it cancelled.

const PAUSE = 300; // milliseconds without a key until the text is sent
const ALTERNATIVES = 3;
const $ = (id) => document.getElementById(id);

let languages = [];
let models = [];
let settings = {};
let running = null; // the AbortController of the request under way, or of the last one
let last = null; // what was asked for and answered, until something changes
let timer = 0;

function option(value, label) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = label;
  return made;
}

function say(text, wrong = false) {
  $("state").textContent = text;
  $("state").classList.toggle("wrong", wrong);
}

function nameOf(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code) || code;
  } catch {
    return code;
  }
}

function targetsOf(source) {
  const from = languages.filter((one) => source === "auto" || one.code === source);
  return [...new Set(from.flatMap((one) => one.targets))];
}

function fillTargets() {
  const before = $("target").value;
  const targets = targetsOf($("source").value);
  $("target").replaceChildren(...targets.map((code) => option(code, nameOf(code))));
  if (targets.includes(before)) $("target").value = before;
  fillModels();
}

function fillModels() {
  const source = $("source").value;
  const target = $("target").value;
  const fitting = models.filter((one) => one.source === source && one.target === target);
  const before = $("model").value;
  $("model").replaceChildren(...fitting.map((one) => option(one.name, `${one.name} (${one.tying})`)));
  if (fitting.some((one) => one.name === before)) $("model").value = before;
  $("model-label").hidden = fitting.length < 2;
  const back = languages.some((one) => one.code === target && one.targets.includes(source));
  $("swap").disabled = !back;
  $("swap").title = back ? "Swap languages" : "No model translates the other way";
  $("text").lang = source === "auto" ? "" : source;
  $("translation").lang = target;
  $("alternatives").lang = target;
}

function count() {
  const length = [...$("text").value].length;
  const limit = settings.charLimit;
  $("count").textContent = limit > 0 ? `${length} of ${limit} characters` : `${length} characters`;
  $("count").classList.toggle("wrong", limit > 0 && length > limit);
}

function show(text) {
  $("translation").textContent = text;
  $("translation").classList.remove("old");
  $("copy").disabled = $("save").disabled = !text;
}

function later(wait = PAUSE) {
  clearTimeout(timer);
  running?.abort();
  running = last = null;
  count();
  $("alternatives").replaceChildren();
  $("no-alternatives").textContent = $("text").value.trim() ? "…" : "Write something first.";
  $("translation").classList.add("old");
  timer = setTimeout(translate, wait);
}

async function ask(fields, signal) {
  const answer = await fetch("/translate", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(fields),
    signal,
  });
  const body = await answer.json();
  if (!answer.ok) {
    const error = new Error(body.error || `The server answered ${answer.status}`);
    if (answer.status === 429) error.wait = Number(answer.headers.get("Retry-After")) || 1;
    throw error;
  }
  return body;
}

async function translate() {
  const text = $("text").value;
  if (!text.trim()) {
    show("");
    say("");
    return;
  }
  const own = (running = new AbortController());
  const fields = { q: text, source: $("source").value, target: $("target").value };
  if (!$("model-label").hidden) fields.model = $("model").value;
  if ($("key").value) fields.api_key = $("key").value;
  say("Translating …");
  try {
    const found = await ask(fields, own.signal);
    show(found.translatedText);
    const detected = found.detectedLanguage;
    say(detected ? `Detected ${nameOf(detected.language)} (${Math.round(detected.confidence)}%)` : "");
    last = fields;
  } catch (error) {
    if (own.signal.aborted) return;
    if (error.wait) {
      say(`${error.message}. Trying again in ${error.wait} s`, true);
      timer = setTimeout(translate, 1000 * error.wait);
    } else {
      say(error instanceof TypeError ? "The server cannot be reached" : error.message, true);
    }
    return;
  }
  await offer();
}

async function offer() {
  if (!$("more").open || !last) return;
  const { signal } = running;
  const alternatives = Math.min(ALTERNATIVES, settings.alternativesLimit);
  let found;
  try {
    found = await ask({ ...last, alternatives }, signal);
  } catch (error) {
    if (!signal.aborted) $("no-alternatives").textContent = error.message;
    return;
  }
  $("alternatives").replaceChildren(
    ...found.alternatives.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }),
  );
  $("no-alternatives").textContent = "There are none.";
}

function swap() {
  const [source, target] = [$("source").value, $("target").value];
  const text = $("translation").textContent;
  $("source").value = target;
  fillTargets();
  $("target").value = source;
  fillModels();
  if (text) $("text").value = text;
  later(0);
}

async function copy() {
  try {
    await navigator.clipboard.writeText($("translation").textContent);
    say("Copied");
  } catch {
    getSelection().selectAllChildren($("translation"));
    say("Selected: press Ctrl+C to copy");
  }
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([$("translation").textContent + "\n"], { type: "text/plain" }));
  link.download = `translation.${$("target").value}.txt`;
  link.click();
  URL.revokeObjectURL(link.href);
}

async function begin() {
  try {
    const paths = ["/languages", "/models", "/frontend/settings"];
    [languages, models, settings] = await Promise.all(paths.map(async (path) => (await fetch(path)).json()));
  } catch {
    say("The server cannot be reached", true);
    return;
  }
  const sources = languages.map((one) => option(one.code, nameOf(one.code)));
  $("source").replaceChildren(...sources, option("auto", "Detect language"));
  $("key-label").hidden = !settings.apiKeys;
  $("more").hidden = !settings.alternativesLimit;
  fillTargets();
  $("text").addEventListener("input", () => later());
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) later(0);
  });
  $("source").addEventListener("change", () => (fillTargets(), later(0)));
  $("target").addEventListener("change", () => (fillModels(), later(0)));
  $("model").addEventListener("change", () => later(0));
  $("key").addEventListener("change", () => later(0));
  $("more").addEventListener("toggle", offer);
  $("swap").addEventListener("click", swap);
  $("copy").addEventListener("click", copy);
  $("save").addEventListener("click", save);
  $("clear").addEventListener("click", () => {
    $("text").value = "";
    $("text").focus();
    later(0);
  });
  $("form").addEventListener("submit", (event) => event.preventDefault());
  later(0); // a browser may have kept the text of an earlier visit
}

begin();
