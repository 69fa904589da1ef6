// Texts word by word: the shade of each, and what lights up where one of them is pointed at.
// An answer is that of /explain; places in it are of characters, as [...text] has them.

import { make, percent } from "/server.js";

const LEVELS = 5; // classes a1 to a5, the more attention the higher
const level = (share) => Math.min(LEVELS, 1 + Math.floor(share * LEVELS));

// The text as nodes, each of the words as what `wrap` makes of it and its number.
function cut(text, words, wrap) {
  const characters = [...text];
  const nodes = [];
  let here = 0;
  words.forEach((word, number) => {
    if (word.start < here || word.end <= word.start) return;
    nodes.push(characters.slice(here, word.start).join(""), wrap(word, number));
    here = word.end;
  });
  return [...nodes, characters.slice(here).join("")];
}

function span(tag, className, word, number) {
  const made = make(tag, className, word.text);
  made.dataset.number = number;
  return made;
}

const sourcesOf = (answer, word) =>
  word.attention.map(([number, share]) => `“${answer.sourceWords[number].text}” ${percent(share)}`).join(", ");

export function tell(answer, word) {
  const sources = sourcesOf(answer, word);
  return `“${word.text}”: probability ${percent(word.probability)}` + (sources ? `, looked at ${sources}` : "");
}

export function row(answer, word) {
  const head = make("th", "", make("bdi", "", word.text));
  head.scope = "row";
  const share = make("td", "", make("span", `word d${word.doubt}`, percent(word.probability)));
  return make("tr", "", head, share, make("td", "", sourcesOf(answer, word)));
}

// The source's words, drawn beneath the textarea that holds the same text.
export class Source {
  constructor(marks, textarea) {
    this.marks = marks;
    this.textarea = textarea;
    this.answer = null;
    this.found = new Map();
    textarea.addEventListener("scroll", () => (marks.scrollTop = textarea.scrollTop));
  }

  // Draw the words of an answer, where it is to what the textarea holds; null: none.
  draw(given) {
    const answer = given?.asked === this.textarea.value ? given : null;
    if (answer === this.answer) return;
    this.answer = answer;
    this.found.clear();
    const wrap = (word, number) => {
      const made = span("mark", "", word, number);
      this.found.set(number, made);
      return made;
    };
    this.marks.replaceChildren(...(answer ? cut(answer.asked, answer.sourceWords, wrap) : []), "\n");
    this.marks.scrollTop = this.textarea.scrollTop;
  }

  // Light words by number, with a share each; none: darken.
  light(shares = new Map()) {
    for (const [number, mark] of this.found) mark.className = shares.has(number) ? `a${level(shares.get(number))}` : "";
  }

  // The place of the word that is drawn at a point of the window; -1: there is none.
  at(x, y) {
    const mark = document.elementsFromPoint(x, y).find((one) => one.parentElement === this.marks);
    return mark ? this.answer.sourceWords[mark.dataset.number].start : -1;
  }

  // The caret's place.
  caret() {
    return [...this.textarea.value.slice(0, this.textarea.selectionStart)].length;
  }
}

// A translation in an element that the pointer and the arrow keys go through. say(text): is told of the word there.
export class Written {
  constructor(output, source, say) {
    this.output = output;
    this.source = source;
    this.say = say;
    this.clear();
    output.addEventListener("pointerover", (event) => this.point(event.target));
    output.addEventListener("click", (event) => this.point(event.target));
    output.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.dark());
    output.addEventListener("blur", () => this.dark());
    output.addEventListener("keydown", (event) => this.key(event));
  }

  clear(text = "") {
    this.answer = null;
    this.spans = [];
    this.here = -1;
    this.output.replaceChildren(text);
  }

  draw(answer) {
    this.clear();
    this.answer = answer;
    const wrap = (word, number) => {
      const made = span("span", `word d${word.doubt}`, word, number);
      this.spans.push(made);
      return made;
    };
    this.output.replaceChildren(...cut(answer.translatedText, answer.words, wrap));
  }

  word(one) {
    return this.answer.words[one.dataset.number];
  }

  point(target) {
    const place = this.spans.indexOf(target);
    if (place >= 0) this.go(place);
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (event.key === "Escape") this.dark();
    if (!step || !this.spans.length || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    event.preventDefault();
    const right = getComputedStyle(this.output).direction === "rtl" && Number.isFinite(step) ? -step : step;
    this.go(Math.max(0, Math.min(this.spans.length - 1, this.here + right)));
    this.spans[this.here].scrollIntoView({ block: "nearest" });
  }

  go(place) {
    this.dark();
    this.here = place;
    const word = this.word(this.spans[place]);
    this.spans[place].classList.add("here");
    this.source.draw(this.answer);
    this.source.light(new Map(word.attention));
    this.say(tell(this.answer, word));
  }

  dark() {
    this.here = -1;
    for (const one of this.spans) one.className = `word d${this.word(one).doubt}`;
    this.source.light();
  }

  // Light what looked at the source's word at a place; returns that word, or undefined.
  from(place) {
    this.dark();
    if (!this.answer || place < 0) return undefined;
    const number = this.answer.sourceWords.findIndex((word) => word.start <= place && place <= word.end);
    if (number < 0) return undefined;
    for (const one of this.spans) {
      const share = new Map(this.word(one).attention).get(number);
      if (share) one.classList.add(`a${level(share)}`);
    }
    return this.answer.sourceWords[number];
  }
}
