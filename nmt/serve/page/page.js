// Translates as one types: a request for each pause, the one before it cancelled.

import { Comparison } from "/compare.js";
import { explain, get, make, nameOf, percent, told } from "/server.js";
import { row, Source, Written } from "/words.js";

const PAUSE = 300; // milliseconds without a key until the text is sent
const ALTERNATIVES = 3;
const $ = (id) => document.getElementById(id);

const source = new Source($("marks"), $("text"));
const tellWord = (text) => ($("word").textContent = text);
const written = new Written($("translation"), source, tellWord);
const comparison = new Comparison($("cards"), source, tellWord);

let languages = [];
let models = [];
let settings = {};
let running = null; // the AbortController of the requests under way, or of the last ones
let last = null; // what was asked, and the answer, until something changes
let timer = 0;

function option(value, label) {
  const made = make("option", "", label);
  made.value = value;
  return made;
}

function say(text, wrong = false) {
  $("state").textContent = text;
  $("state").classList.toggle("wrong", wrong);
}

function targetsOf(code) {
  const from = languages.filter((one) => code === "auto" || one.code === code);
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
  const [from, to] = [$("source").value, $("target").value];
  const fitting = models.filter((one) => one.source === from && one.target === to);
  const before = $("model").value;
  $("model").replaceChildren(...fitting.map((one) => option(one.name, `${one.name} (${one.tying})`)));
  if (fitting.some((one) => one.name === before)) $("model").value = before;
  $("model-label").hidden = $("compare").hidden = fitting.length < 2;
  comparison.list(fitting.length < 2 ? [] : fitting, to);
  shade();
  const back = languages.some((one) => one.code === to && one.targets.includes(from));
  $("swap").disabled = !back;
  $("swap").title = back ? "Swap languages" : "No model translates the other way";
  $("text").lang = from === "auto" ? "" : from;
  for (const id of ["translation", "alternatives", "rows"]) $(id).lang = to;
}

function count() {
  const length = [...$("text").value].length;
  const limit = settings.charLimit;
  $("count").textContent = limit > 0 ? `${length} of ${limit} characters` : `${length} characters`;
  $("count").classList.toggle("wrong", limit > 0 && length > limit);
}

function later(wait = PAUSE) {
  clearTimeout(timer);
  running?.abort();
  running = last = null;
  count();
  source.draw(null);
  $("alternatives").replaceChildren();
  $("rows").replaceChildren();
  comparison.clear();
  $("no-alternatives").textContent = $("text").value.trim() ? "…" : "Write something first.";
  $("translation").classList.add("old");
  timer = setTimeout(translate, wait);
}

function show(answer) {
  written.draw(answer);
  source.draw(answer);
  $("translation").classList.remove("old");
  $("copy").disabled = $("save").disabled = !answer.translatedText;
}

async function translate() {
  const text = $("text").value;
  if (!text.trim()) {
    show({ asked: text, translatedText: "", words: [], sourceWords: [] });
    comparison.list(comparison.shown.map((one) => one.model), $("target").value);
    shade();
    say("");
    return;
  }
  const own = (running = new AbortController());
  const fields = { q: text, source: $("source").value, target: $("target").value };
  if ($("more").open) fields.alternatives = Math.min(ALTERNATIVES, settings.alternativesLimit);
  if (!$("model-label").hidden) fields.model = $("model").value;
  if ($("key").value) fields.api_key = $("key").value;
  say("Translating …");
  try {
    const answer = await explain(fields, own.signal);
    show(answer);
    const detected = answer.detectedLanguage;
    say(detected ? `Detected ${nameOf(detected.language)} (${Math.round(detected.confidence)}%)` : "");
    last = { fields, answer };
  } catch (error) {
    if (own.signal.aborted) return;
    if (error.wait) {
      say(`${error.message}. Trying again in ${error.wait} s`, true);
      timer = setTimeout(translate, 1000 * error.wait);
    } else {
      say(told(error), true);
    }
    return;
  }
  unfold();
}

// What is open is filled from the last answer, or by further requests.
function unfold() {
  if (!last) return;
  const { answer, fields } = last;
  if ($("more").open) {
    if (!answer.alternatives) return later(0);
    $("alternatives").replaceChildren(...answer.alternatives.map((text) => make("li", "", text)));
    $("no-alternatives").textContent = "There are none.";
  }
  if ($("by-word").open) $("rows").replaceChildren(...answer.words.map((word) => row(answer, word)));
  if ($("compare").open && !last.compared) {
    last.compared = true;
    const { alternatives, ...rest } = fields;
    comparison.fill(rest, answer, running.signal);
  }
}

function swap() {
  const [from, to] = [$("source").value, $("target").value];
  const text = written.answer?.translatedText;
  $("source").value = to;
  fillTargets();
  $("target").value = from;
  fillModels();
  if (text) $("text").value = text;
  later(0);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(written.answer.translatedText);
    say("Copied");
  } catch {
    getSelection().selectAllChildren($("translation"));
    say("Selected: press Ctrl+C to copy");
  }
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([written.answer.translatedText + "\n"], { type: "text/plain" }));
  link.download = `translation.${$("target").value}.txt`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function shade() {
  const outputs = document.querySelectorAll("output");
  for (const output of outputs) output.classList.toggle("shaded", $("shade").checked);
  $("levels").hidden = !$("shade").checked;
}

// Light what the source's word at a place became, in every translation that is shown.
function trace(place) {
  if (!last) return;
  comparison.from(place);
  const word = written.from(place);
  if (!word) return;
  const spans = written.spans.map((one) => written.word(one));
  const number = written.answer.sourceWords.indexOf(word);
  source.draw(written.answer);
  source.light(new Map([[number, 1]]));
  const shares = spans.flatMap((one) => one.attention.filter(([to]) => to === number).map(([, share]) => [one, share]));
  const lookers = shares.sort((one, other) => other[1] - one[1]).map(([one, share]) => `“${one.text}” ${percent(share)}`);
  tellWord(`“${word.text}”: ` + (lookers.length ? `looked at by ${lookers.join(", ")}` : "no word looked at it"));
}

function listen() {
  const text = $("text");
  text.addEventListener("input", () => later());
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) later(0);
  });
  text.addEventListener("keyup", (event) => {
    if (/^(Arrow|Home|End|Page)/.test(event.key)) trace(source.caret());
  });
  text.addEventListener("pointermove", (event) => trace(source.at(event.clientX, event.clientY)));
  text.addEventListener("click", () => trace(source.caret()));
  text.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && trace(-1));
  text.addEventListener("blur", () => trace(-1));
  $("source").addEventListener("change", () => (fillTargets(), later(0)));
  $("target").addEventListener("change", () => (fillModels(), later(0)));
  $("model").addEventListener("change", () => later(0));
  $("key").addEventListener("change", () => later(0));
  for (const id of ["more", "by-word", "compare"]) $(id).addEventListener("toggle", unfold);
  $("shade").addEventListener("change", shade);
  $("swap").addEventListener("click", swap);
  $("copy").addEventListener("click", copy);
  $("save").addEventListener("click", save);
  $("clear").addEventListener("click", () => {
    text.value = "";
    text.focus();
    later(0);
  });
  $("form").addEventListener("submit", (event) => event.preventDefault());
}

async function begin() {
  try {
    [languages, models, settings] = await Promise.all(["/languages", "/models", "/frontend/settings"].map(get));
  } catch {
    say("The server cannot be reached", true);
    return;
  }
  const sources = languages.map((one) => option(one.code, nameOf(one.code)));
  $("source").replaceChildren(...sources, option("auto", "Detect language"));
  $("key-label").hidden = !settings.apiKeys;
  $("more").hidden = !settings.alternativesLimit;
  fillTargets();
  listen();
  later(0); // a browser may have kept the text of an earlier visit
}

begin();
