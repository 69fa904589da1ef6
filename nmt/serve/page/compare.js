// Several models side by side: what each makes of the text, how large it is, how long it took.

import { explain, make, told } from "/server.js";
import { Written } from "/words.js";

const large = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function sizes(model) {
  const stored = model.engine ? `, ${model.engine} ${model.quantization}` : "";
  return `${large.format(model.parameters)} parameters, ${(model.bytes / 1e6).toPrecision(3)}\u00a0MB${stored}`;
}

export class Comparison {
  // cards: the element that holds them. source, say: as of Written.
  constructor(cards, source, say) {
    this.cards = cards;
    this.source = source;
    this.say = say;
    this.shown = [];
  }

  // A card for each model, with nothing in it.
  list(models, target) {
    this.shown = models.map((model, number) => {
      const output = make("output", "shaded");
      const title = make("h3", "", model.name);
      const seconds = make("span", "seconds");
      title.id = `card-${number}`;
      Object.assign(output, { tabIndex: 0, dir: "auto", lang: target });
      output.setAttribute("aria-labelledby", title.id);
      output.setAttribute("aria-describedby", "keys");
      output.setAttribute("aria-live", "off");
      const note = make("p", "note", `${model.tying} tying`, make("br"), sizes(model), seconds);
      const card = make("article", "", title, note, output);
      card.setAttribute("aria-labelledby", title.id);
      return { model, card, seconds, written: new Written(output, this.source, this.say) };
    });
    this.cards.replaceChildren(...this.shown.map((one) => one.card));
  }

  clear() {
    for (const one of this.shown) {
      one.card.classList.add("old");
      one.seconds.textContent = "";
    }
  }

  // Ask every model in turn, so that none slows another down. fields: of /explain. answer: of the model it names.
  async fill(fields, answer, signal) {
    for (const one of this.shown) {
      one.card.setAttribute("aria-busy", "true");
      try {
        const own = one.model.name === answer.model;
        const found = own ? answer : await explain({ ...fields, model: one.model.name }, signal);
        one.written.draw(found);
        one.seconds.textContent = `, ${found.seconds.toFixed(2)}\u00a0s`;
      } catch (error) {
        if (signal.aborted) return;
        one.written.clear(told(error));
      }
      one.card.removeAttribute("aria-busy");
      one.card.classList.remove("old");
    }
  }

  from(place) {
    for (const one of this.shown) one.written.from(place);
  }
}
