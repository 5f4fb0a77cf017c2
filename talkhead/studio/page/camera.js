// A dialog that takes a photo or records a video with the browser's camera.

import { element, find, showError } from "./dom.js";

// Resolves to { blob, name }, or to null when the person closes it.
export async function openCamera(kind) {
  const dialog = find("#camera");
  const view = element("video", { muted: true, playsinline: true });
  view.muted = true;
  const error = element("p", { class: "error", role: "alert", hidden: true });
  const shoot = element("button", { class: "primary", disabled: true }, kind === "photo" ? "Take the photo" : "Record");
  const leave = element("button", {}, "Close");
  dialog.replaceChildren(view, error, element("div", { class: "actions" }, shoot, leave));
  dialog.showModal();
  let stream = null;
  const closed = new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(null), { once: true });
    leave.addEventListener("click", () => dialog.close());
  });
  try {
    stream = await cameraStream(kind === "video");
    view.srcObject = stream;
    await view.play();
    shoot.disabled = false;
    const taken = kind === "photo" ? photo(view, shoot) : recording(stream, shoot);
    return await Promise.race([taken, closed]);
  } catch (problem) {
    showError(error, problem);
    return await closed;
  } finally {
    stream?.getTracks().forEach((track) => track.stop());
    dialog.close();
  }
}

export async function cameraStream(sound, size = { width: 1280, height: 720 }) {
  if (!navigator.mediaDevices) {
    throw new Error("browsers lend the camera only to pages of this machine (or over https); open the page as 127.0.0.1");
  }
  const video = { width: { ideal: size.width }, height: { ideal: size.height }, facingMode: "user" };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: sound });
  } catch (error) {
    if (sound && error.name === "NotFoundError") return cameraStream(false, size); // no microphone
    const told = { NotAllowedError: "the browser was not allowed to use the camera", NotFoundError: "this machine has no camera", NotReadableError: "the camera is in use elsewhere" };
    throw new Error(told[error.name] ?? `the camera cannot be used (${error.message})`);
  }
}

async function photo(view, button) {
  await new Promise((resolve) => button.addEventListener("click", resolve, { once: true }));
  const canvas = element("canvas", { width: view.videoWidth, height: view.videoHeight });
  canvas.getContext("2d").drawImage(view, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return { blob, name: "camera.png" };
}

async function recording(stream, button) {
  await new Promise((resolve) => button.addEventListener("click", resolve, { once: true }));
  const recorder = new MediaRecorder(stream, { videoBitsPerSecond: 6e6 });
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const ended = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  button.textContent = "Stop and use";
  button.addEventListener("click", () => recorder.stop(), { once: true });
  await ended;
  const type = recorder.mimeType.split(";")[0];
  return { blob: new Blob(parts, { type }), name: `camera.${type === "video/mp4" ? "mp4" : "webm"}` };
}
