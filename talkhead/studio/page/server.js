// The session on the server: requests, files, events.

const GONE = "the studio does not answer; was it stopped in its terminal?";
let session = "";

export async function begin() {
  const introduction = await answer(await fetch("/api/sessions", { method: "POST" }));
  session = introduction.session;
  return introduction;
}

export const fileUrl = (name) => `/api/${session}/files/${encodeURIComponent(name)}`;

export function socket(path) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(`${scheme}//${location.host}/api/${session}/${path}`);
}

export async function post(path, body = {}, signal = undefined) {
  return answer(await send(path, "POST", JSON.stringify(body), signal));
}

// Send a file; `sent` is told how much of it has gone, 0 to 1. `fetch` cannot tell.
export async function put(path, blob, sent, signal) {
  const request = new XMLHttpRequest();
  request.open("PUT", `/api/${session}/${path}`);
  request.upload.addEventListener("progress", ({ loaded, total }) => sent(total ? loaded / total : 1));
  signal.addEventListener("abort", () => request.abort());
  await new Promise((resolve, reject) => {
    request.addEventListener("load", resolve);
    request.addEventListener("abort", () => reject(new DOMException("another file was chosen", "AbortError")));
    request.addEventListener("error", () => reject(new Error(GONE)));
    request.send(blob);
  });
  return answer(new Response(request.responseText, { status: request.status }));
}

export async function remove(path) {
  return answer(await send(path, "DELETE"));
}

// Objects as the server sends them, a line of JSON each.
export async function* lines(path, body, signal) {
  const response = await send(path, "POST", JSON.stringify(body), signal);
  if (!response.ok) await answer(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) {
      const found = JSON.parse(part);
      if (found.error) throw new Error(found.error);
      yield found;
    }
  }
}

async function send(path, method, body = undefined, signal = undefined) {
  try {
    return await fetch(`/api/${session}/${path}`, { method, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(GONE);
  }
}

async function answer(response) {
  const text = await response.text();
  if (response.ok) return text ? JSON.parse(text) : {};
  let told = text;
  try {
    told = JSON.parse(text).error ?? text;
  } catch {
    // not JSON: the text itself says it
  }
  throw new Error(told || `the studio answered ${response.status}`);
}

// Calls `hear` with every event; `lost(true)` while the connection is gone, `lost(false)` after.
export function listen(hear, lost) {
  const events = socket("events");
  events.onopen = () => lost(false);
  events.onmessage = (message) => hear(JSON.parse(message.data));
  events.onclose = () => {
    lost(true);
    setTimeout(() => listen(hear, lost), 1500);
  };
}

// Tell the server that this page is gone, so that its files go too.
export function endWithPage() {
  addEventListener("pagehide", () => navigator.sendBeacon(`/api/${session}/end`));
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}
