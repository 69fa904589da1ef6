// What is asked of the server, and how its answers are told.

export async function get(path) {
  return (await fetch(path)).json();
}

// POST; what the server refuses is an Error with its sentence, and `wait` in seconds where it says when to come again.
async function post(path, fields, signal) {
  const answer = await fetch(path, {
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

// What /explain answers to fields, with the text that was asked.
export async function explain(fields, signal) {
  return { ...(await post("/explain", fields, signal)), asked: fields.q };
}

export function told(error) {
  return error instanceof TypeError ? "The server cannot be reached" : error.message;
}

export function nameOf(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code) || code;
  } catch {
    return code;
  }
}

export function percent(share) {
  return share >= 0.0995 ? `${Math.round(100 * share)}%` : `${(100 * share).toFixed(share >= 0.00995 ? 1 : 2)}%`;
}

export function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}
