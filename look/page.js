// The page: what is chosen, and the elements that show and change it.
const $ = (id) => document.getElementById(id);
const meta = JSON.parse($("meta").textContent);
const grouped = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");
const state = { frame: 0, colour: "class", hidden: new Set(), scores: true, playing: false };

// Colours between stops that are evenly spaced, 256 of them.
function ramp(stops) {
  const bytes = new Uint8Array(1024).fill(255);
  for (let i = 0; i < 256; ++i) {
    const at = i / 255 * (stops.length - 1), k = Math.min(stops.length - 2, Math.floor(at));
    for (let c = 0; c < 3; ++c) bytes[4 * i + c] = Math.round(stops[k][c] + (at - k) * (stops[k + 1][c] - stops[k][c]));
  }
  return bytes;
}
const RAMPS = {
  remission: ramp([[38, 32, 88], [66, 70, 160], [60, 130, 190], [70, 190, 170], [170, 225, 110], [255, 245, 170]]),
  height: ramp([[40, 60, 150], [30, 140, 190], [60, 190, 120], [220, 210, 70], [240, 130, 50], [200, 40, 50]]),
};

const colourOf = (id) => (meta.classes[id] || { rgb: [128, 128, 128] }).rgb;
const nameOf = (id) => (meta.classes[id] || { name: "unlabelled" }).name;

let scene, camera, waiting = false;
const tags = [];

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; ++i) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (scene.gl.isContextLost()) return;
    showTags(scene.draw(camera));
  });
}

const shownBoxes = () => meta.frames[state.frame].boxes.filter((box) => !state.hidden.has(box[8]));

function layBoxes() {
  const numbers = [];
  for (const box of shownBoxes()) {
    const corners = cornersOf(box), rgb = colourOf(box[8]).map((v) => Math.min(1, v / 255 * 0.8 + 0.2));
    for (const [from, to] of EDGES) numbers.push(...corners[from], ...corners[to], ...rgb);
  }
  scene.setLines(new Float32Array(numbers));
}

// Names and scores over the boxes that are nearest to the eye.
function showTags(m) {
  const wide = scene.canvas.clientWidth, high = scene.canvas.clientHeight, places = [];
  for (const box of state.scores ? shownBoxes() : []) {
    const p = [box[0], box[1], box[2] + box[5] / 2], at = (r) => m[r] * p[0] + m[4 + r] * p[1] + m[8 + r] * p[2] + m[12 + r];
    const w = at(3), x = (at(0) / w + 1) / 2 * wide, y = (1 - at(1) / w) / 2 * high;
    if (w > 0 && x > 0 && x < wide && y > 0 && y < high) places.push({ box, w, x, y });
  }
  places.sort((a, b) => a.w - b.w);
  places.length = Math.min(places.length, 60);
  while (tags.length < places.length) tags.push($("names").appendChild(document.createElement("span")));
  tags.forEach((tag, i) => {
    tag.hidden = i >= places.length;
    if (tag.hidden) return;
    const { box, x, y } = places[i];
    const text = nameOf(box[8]) + (box[7] === null ? "" : " " + box[7].toFixed(2));
    if (tag.textContent !== text) tag.textContent = text;
    tag.style.color = `rgb(${colourOf(box[8]).map((v) => Math.round(v * 0.6 + 102))})`;
    tag.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px) translate(-50%, -120%)`;
  });
}

function setTable() {
  for (let id = 0; id < 256; ++id) scene.table.set([...colourOf(id), state.hidden.has(id) ? 0 : 255], 4 * id);
  scene.table.set(RAMPS.remission, 1024);
  scene.table.set(RAMPS.height, 2048);
  scene.setTable();
}

// Classes of the whole page, so that rows stay where they are as it plays; the largest of the first frames first.
const legendIds = (() => {
  const total = new Map();
  for (const frame of meta.frames) {
    for (const [id, count] of frame.counts) total.set(id, (total.get(id) || 0) + count);
    for (const box of frame.boxes) total.set(box[8], (total.get(box[8]) || 0) + 1);
  }
  const last = (id) => id >= meta.classes.length;
  return [...total.keys()].sort((a, b) => last(a) - last(b) || total.get(b) - total.get(a) || a - b);
})();

function makeLegend() {
  for (const id of legendIds) {
    const button = document.createElement("button"), item = document.createElement("li");
    button.dataset.id = id;
    button.innerHTML = "<i></i><span></span><b></b>";
    button.children[0].style.background = `rgb(${colourOf(id)})`;
    button.children[1].textContent = button.title = nameOf(id);
    button.addEventListener("click", () => {
      if (!state.hidden.delete(id)) state.hidden.add(id);
      showHidden();
    });
    $("rows").append(item);
    item.append(button);
  }
}

function showCounts() {
  const frame = meta.frames[state.frame], points = new Map(frame.counts), boxes = new Map();
  for (const box of frame.boxes) boxes.set(box[8], (boxes.get(box[8]) || 0) + 1);
  for (const button of $("rows").querySelectorAll("button")) {
    const id = Number(button.dataset.id), parts = [];
    if (boxes.has(id)) parts.push(boxes.get(id) + (boxes.get(id) === 1 ? " box" : " boxes"));
    if (points.has(id)) parts.push(grouped(points.get(id)));
    button.children[2].textContent = parts.join(" · ") || "0";
  }
}

function showHidden() {
  for (const button of $("rows").querySelectorAll("button"))
    button.setAttribute("aria-pressed", !state.hidden.has(Number(button.dataset.id)));
  setTable();
  layBoxes();
  redraw();
}

function showColour(colour) {
  state.colour = colour;
  for (const button of $("colours").children) button.setAttribute("aria-pressed", button.dataset.colour === colour);
  scene.row = ["class", "remission", "height"].indexOf(colour);
  $("ramp").style.display = scene.row > 0 ? "block" : "none";
  if (scene.row > 0) {
    const bar = $("bar").getContext("2d"), ends = colour === "height" ? meta.heights : [0, meta.remission];
    bar.putImageData(new ImageData(new Uint8ClampedArray(RAMPS[colour]), 256, 1), 0, 0);
    $("low").textContent = Number(ends[0].toPrecision(3));
    $("high").textContent = Number(ends[1].toPrecision(3));
    $("unit").textContent = colour === "height" ? "z in metres" : "remission";
  }
  redraw();
}

function showFrame(index) {
  state.frame = index;
  const frame = meta.frames[index], bytes = bytesOf($("frame" + index).textContent);
  scene.setPoints({ bytes, low: frame.low, extent: frame.extent });
  const shown = bytes.length / 8, parts = [grouped(frame.points) + (frame.points === 1 ? " point" : " points")];
  if (shown < frame.points) parts.push(grouped(shown) + " shown");
  if (frame.boxes.length > 0) parts.push(frame.boxes.length + (frame.boxes.length === 1 ? " box" : " boxes"));
  if (frame.seconds !== null) parts.push(frame.seconds.toFixed(2) + " s");
  $("title").textContent = frame.name || meta.title;
  $("what").textContent = parts.join(" · ");
  $("slider").value = index;
  $("at").textContent = index + 1 + " / " + meta.frames.length;
  showCounts();
  layBoxes();
  redraw();
}

// Milliseconds that a frame stays: as its time says, where that is one to be played.
function stay() {
  const now = meta.frames[state.frame].seconds, next = (meta.frames[state.frame + 1] || {}).seconds;
  const between = now !== null && next !== undefined && next !== null ? next - now : 0;
  return between > 0.01 && between < 2 ? 1000 * between : 100;
}

function play(playing) {
  state.playing = playing;
  $("play").innerHTML = playing ? "&#10074;&#10074;" : "&#9654;";
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  let due = performance.now() + stay();
  const turn = Symbol();
  play.turn = turn;
  const tick = (now) => {
    if (!state.playing || play.turn !== turn) return;
    if (now >= due) {
      showFrame((state.frame + 1) % meta.frames.length);
      due = Math.max(due + stay(), now);
    }
    requestAnimationFrame(tick);
  };
  if (playing) requestAnimationFrame(tick);
}

function step(by) {
  play(false);
  showFrame(Math.min(meta.frames.length - 1, Math.max(0, state.frame + by)));
}

function listen() {
  const pressed = (id, what) => $(id).addEventListener("click", what);
  for (const button of $("colours").children) button.addEventListener("click", () => showColour(button.dataset.colour));
  pressed("behind", () => { camera.fromBehind(); redraw(); });
  pressed("top", () => { camera.fromAbove(); redraw(); });
  const resize = (factor) => { scene.pointSize = Math.min(8, Math.max(0.3, scene.pointSize * factor)); redraw(); };
  pressed("smaller", () => resize(1 / 1.4));
  pressed("larger", () => resize(1.4));
  pressed("scores", () => {
    state.scores = !state.scores;
    $("scores").setAttribute("aria-pressed", state.scores);
    redraw();
  });
  pressed("open", () => $("open").setAttribute("aria-expanded", document.body.classList.toggle("legend")));
  pressed("all", () => { state.hidden.clear(); showHidden(); });
  pressed("none", () => { state.hidden = new Set(legendIds); showHidden(); });
  pressed("play", () => play(!state.playing));
  $("slider").addEventListener("input", () => { play(false); showFrame(Number($("slider").value)); });
  window.addEventListener("resize", redraw);
  window.addEventListener("keydown", (event) => {
    if (event.target === $("slider") || meta.frames.length < 2 || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (by) step(by);
    else if (event.key === " " && event.target.tagName !== "BUTTON") play(!state.playing);
    else return;
    event.preventDefault();
  });
  scene.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  scene.canvas.addEventListener("webglcontextrestored", () => { scene.prepare(); redraw(); });
  steer(camera, scene.canvas, redraw);
}

function start() {
  const has = { class: meta.frames.some((frame) => frame.counts.length > 0), remission: meta.remission !== null, height: true };
  for (const button of $("colours").children) button.hidden = !has[button.dataset.colour];
  $("every").hidden = legendIds.length < 2;
  $("scores").parentElement.hidden = !meta.frames.some((frame) => frame.boxes.length > 0);
  $("notes").textContent = meta.notes.join("; ");
  document.body.classList.toggle("film", meta.frames.length > 1);
  $("slider").max = meta.frames.length - 1;
  scene = new Scene($("scene"));
  camera = new Camera(meta.target, meta.reach);
  scene.heights = meta.heights;
  listen();
  makeLegend();
  showHidden();
  showColour(has.class ? "class" : has.remission ? "remission" : "height");
  showFrame(0);
}

try {
  start();
} catch (error) {
  document.body.innerHTML = '<p id="failed"></p>';
  $("failed").textContent = error.message;
}
