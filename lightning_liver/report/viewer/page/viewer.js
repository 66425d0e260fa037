// The viewer: the server of this page sends scan and masks of a case, NiiVue draws them.
"use strict";

const LAYERS = [
  { name: "truth", title: "Truth", key: "t", shown: true, opacity: 1, contoured: true, colours: [[86, 180, 233], [230, 159, 0]],
    swatches: [["true-liver", "liver"], ["true-tumour", "tumour"]] },
  { name: "prediction", title: "Prediction", key: "p", shown: true, opacity: 1, contoured: true, colours: [[124, 242, 192], [255, 107, 107]],
    swatches: [["predicted-liver", "liver"], ["predicted-tumour", "tumour"]] },
  { name: "error", title: "Errors", key: "e", shown: false, opacity: 0.8, contoured: false,
    colours: [[86, 180, 233], [0, 114, 178], [240, 228, 66], [213, 94, 0]],
    swatches: [["liver-too-much", "liver, false positive"], ["liver-missing", "liver, false negative"],
      ["tumour-too-much", "tumour, false positive"], ["tumour-missing", "tumour, false negative"]] },
];
const WINDOWS = [["Network", null], ["Liver", [0, 200]], ["Lung", [-1350, 150]], ["Bone", [-450, 1050]]];
const VIEWS = [["Axial", "a"], ["Coronal", "c"], ["Sagittal", "s"], ["All", "m"]];  // in NiiVue's order
const WIDE = [[0, [0, 0, 0.62, 1]], [1, [0.62, 0, 0.38, 0.5]], [2, [0.62, 0.5, 0.38, 0.5]]];
const TALL = [[0, [0, 0, 1, 0.6]], [1, [0, 0.6, 0.5, 0.4]], [2, [0.5, 0.6, 0.5, 0.4]]];
const NAMES = ["background", "liver", "tumour"];

const element = (id) => document.getElementById(id);
const make = (tag, properties, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
let nv, about, current = 0, turn = 0, position = null, view = 0, contours = true;

function notice(text, state) {
  element("notice").textContent = text;
  if (state) document.body.dataset.state = state;
}

function markPressed(group, chosen) {
  [...element(group).children].forEach((button, n) => button.setAttribute("aria-pressed", String(n === chosen)));
}

function setWindow(n) {
  [nv.volumes[0].cal_min, nv.volumes[0].cal_max] = WINDOWS[n][1];
  nv.updateGLVolume();
  showWindow();
}

function showWindow() {
  const { cal_min: low, cal_max: high } = nv.volumes[0];
  element("window").textContent = `${Math.round(low)} to ${Math.round(high)}`;
  markPressed("windows", WINDOWS.findIndex(([, hu]) => hu[0] === low && hu[1] === high));
}

function setView(n) {
  view = n;
  const canvas = element("volume"), tiles = canvas.clientWidth > canvas.clientHeight ? WIDE : TALL;
  if (n < 3) nv.clearCustomLayout();
  else nv.setCustomLayout(tiles.map(([sliceType, position]) => ({ sliceType, position })));
  nv.setSliceType(n);
  markPressed("views", n);
}

function placeOf(layer) {
  return nv.volumes.findIndex((volume) => volume.name === layer.name);
}

function showLayer(layer) {
  const place = placeOf(layer);
  if (place > 0) nv.setOpacity(place, layer.shown ? layer.opacity : 0);
}

function toggle(layer) {
  layer.shown = !layer.shown;
  element(`show-${layer.name}`).checked = layer.shown;
  showLayer(layer);
}

// Keep the pixels of a mask with a lower label beside, above or below them in the axial slice; a tumour is part of the liver
function outlineOf(labels, columns, rows) {
  const outline = new Uint8Array(labels.length), plane = columns * rows;
  for (let n = 0; n < labels.length; n += 1) {
    const label = labels[n], x = n % columns, y = Math.floor((n % plane) / columns);
    if (label && (x === 0 || labels[n - 1] < label || x === columns - 1 || labels[n + 1] < label
        || y === 0 || labels[n - columns] < label || y === rows - 1 || labels[n + columns] < label)) outline[n] = label;
  }
  return outline;
}

function setContours(on) {
  contours = element("contours").checked = on;
  for (const layer of LAYERS) {
    const place = placeOf(layer);
    if (layer.contoured && place > 0) nv.volumes[place].img = on ? layer.outline : layer.labels;
  }
  nv.updateGLVolume();
}

// Convert between NiiVue's position, from the patient's right and back, and array indices, from left and front
function flip(x, y) {
  const [, columns, rows] = nv.volumes[0].hdr.dims;
  return [columns - 1 - x, rows - 1 - y];
}

function readout() {
  if (!position || !nv.volumes.length) return;
  const [, columns, rows] = nv.volumes[0].hdr.dims, z = position[2], [column, row] = flip(...position);
  const at = (z * rows + row) * columns + column;
  const parts = [`${nv.volumes[0].img[at]} HU`];
  for (const layer of LAYERS.slice(0, 2)) {
    if (placeOf(layer) > 0) parts.push(`${layer.name}: ${NAMES[layer.labels[at]]}`);
  }
  parts.push(`slice ${z + 1} of ${about.cases[current].slices}, row ${row + 1}, column ${column + 1}`);
  element("readout").textContent = parts.join(" · ");
}

async function fetchBuffer(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(await response.text());
  return response.arrayBuffer();
}

async function addMask(layer, path, mine) {
  const buffer = await fetchBuffer(`${path}${layer.name}.nii.gz`);
  if (mine !== turn) return;
  const name = `${layer.name}.nii.gz`;
  const image = await niivue.NVImage.loadFromUrl({ url: name, name, buffer, colormap: layer.name, cal_min: 0, cal_max: layer.colours.length });
  const [, columns, rows] = image.hdr.dims;
  image.name = layer.name;
  layer.labels = image.img;
  layer.outline = layer.contoured ? outlineOf(image.img, columns, rows) : null;
  if (layer.contoured && contours) image.img = layer.outline;
  image.opacity = layer.shown ? layer.opacity : 0;
  if (mine !== turn) return;
  nv.addVolume(image);
  readout();
}

async function showCase(n) {
  const mine = ++turn, each = about.cases[n];
  current = n;
  element("case").value = String(n);
  document.title = `case ${each.name}, ${about.run}`;
  element("title").textContent = `Case ${each.name}`;
  element("subtitle").textContent = subtitle(each);
  listLesions(each);
  location.replace(`#${encodeURIComponent(each.name)}`);
  notice("Loading the scan", "loading");
  const kept = nv.volumes.length ? [nv.volumes[0].cal_min, nv.volumes[0].cal_max] : about.window_hu;
  try {
    const buffer = await fetchBuffer(`${each.path}scan.nii`);
    if (mine !== turn) return;
    const image = await niivue.NVImage.loadFromUrl({
      url: "scan.nii", name: "scan.nii", buffer, colormap: "gray", cal_min: kept[0], cal_max: kept[1],
    });
    if (mine !== turn) return;
    while (nv.volumes.length) nv.removeVolumeByIndex(nv.volumes.length - 1);
    nv.addVolume(image);
    showWindow();
    await addMask(LAYERS[0], each.path, mine);
    if (mine !== turn) return;
    goTo(each);
    notice("The network predicts this case, which takes a while the first time.");
    await addMask(LAYERS[1], each.path, mine);
    await addMask(LAYERS[2], each.path, mine);
    if (mine === turn) notice("", "ready");
  } catch (error) {
    if (mine === turn) notice(error.message, "failed");
  }
}

// List true and predicted tumours with their place; a click goes to the middle of one
function listLesions(each) {
  element("lesions").hidden = !each.lesions.length;
  const outcome = { reference: ["missed", "found"], predicted: ["false positive", "correct"] };
  element("lesion-list").replaceChildren(...each.lesions.map((lesion) => {
    const kind = lesion.kind === "reference" ? "true" : "predicted";
    const parts = [`${kind} ${lesion.number}: ${lesion.diameter_mm.toFixed(0)} mm, ${outcome[lesion.kind][Number(lesion.detected)]}`];
    if (!lesion.place) return make("li", { textContent: parts[0] });
    const [x, y, z] = lesion.place.map(Math.round);
    const go = button(`${parts[0]}, slice ${z + 1}`, () => {
      nv.scene.crosshairPos = nv.vox2frac([...flip(x, y), z]);
      nv.drawScene();
      nv.createOnLocationChange();
    });
    go.className = lesion.detected ? "" : "wrong";
    return make("li", {}, go);
  }));
}

function subtitle(each) {
  const dice = Object.entries(each.dice).filter(([, value]) => value !== null);
  const scores = dice.map(([structure, value]) => `${structure} Dice ${value.toFixed(3)}`).join(", ");
  return [`run ${about.run}, patient ${each.patient}`, scores].filter(Boolean).join(". ");
}

// Go to the middle of the tumour, else of the liver, in the slice with most of it
function goTo(each) {
  const [, columns, rows] = nv.volumes[1].hdr.dims;
  const z = each.representative_slice, labels = LAYERS[0].labels.subarray(z * rows * columns, (z + 1) * rows * columns);
  const most = labels.reduce((a, b) => Math.max(a, b), 0);
  const pixels = [...labels.keys()].filter((n) => most > 0 && labels[n] === most);
  const mean = (part) => pixels.reduce((sum, n) => sum + part(n), 0) / pixels.length;
  const column = (n) => n % columns, row = (n) => Math.floor(n / columns);
  let at = Math.floor(rows / 2) * columns + Math.floor(columns / 2);
  if (pixels.length) {  // the middle may be between two tumours: take the nearest pixel
    const [x, y] = [mean(column), mean(row)], distance = (n) => Math.hypot(column(n) - x, row(n) - y);
    at = pixels.reduce((best, n) => (distance(n) < distance(best) ? n : best));
  }
  nv.scene.crosshairPos = nv.vox2frac([...flip(column(at), row(at)), z]);
  nv.drawScene();
  nv.createOnLocationChange();
}

function buildControls() {
  for (const layer of LAYERS) {
    const box = make("input", { type: "checkbox", id: `show-${layer.name}`, checked: layer.shown });
    const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: layer.opacity });
    slider.setAttribute("aria-label", `Opacity of ${layer.title.toLowerCase()}`);
    box.addEventListener("change", () => toggle(layer));
    slider.addEventListener("input", () => { layer.opacity = Number(slider.value); showLayer(layer); });
    const key = make("kbd", { textContent: layer.key.toUpperCase() });
    const swatches = make("p", { className: "swatches" });
    for (const [className, text] of layer.swatches) swatches.append(make("i", { className }), make("span", { textContent: text }));
    const row = make("div", { className: "layer" }, make("label", {}, box, layer.title, key), slider, swatches);
    element("contours").parentElement.before(row);
  }
  element("contours").addEventListener("change", (event) => setContours(event.target.checked));
  WINDOWS.forEach(([title], n) => element("windows").append(button(title, () => setWindow(n))));
  VIEWS.forEach(([title], n) => element("views").append(button(title, () => setView(n))));
  about.cases.forEach((each, n) => {
    const tumour = each.dice.tumour === null ? "" : `, tumour ${each.dice.tumour.toFixed(3)}`;
    element("case").append(make("option", { value: n, textContent: `${each.name}${tumour}` }));
  });
  element("case").addEventListener("change", (event) => showCase(Number(event.target.value)));
  element("previous").addEventListener("click", () => step(-1));
  element("next").addEventListener("click", () => step(1));
  document.addEventListener("keydown", onKey);
  addEventListener("resize", () => setView(view));
}

function button(title, action) {
  const made = make("button", { type: "button", textContent: title });
  made.addEventListener("click", action);
  return made;
}

function step(by) {
  const count = about.cases.length;
  showCase((current + by + count) % count);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !nv.volumes.length) return;
  const typing = ["SELECT", "INPUT"].includes(event.target.tagName) && event.target.type !== "checkbox";
  const key = event.key.toLowerCase();
  const layer = LAYERS.find((each) => each.key === key), wanted = VIEWS.findIndex(([, each]) => each === key);
  if (layer) toggle(layer);
  else if (key === "o") setContours(!element("contours").checked);
  else if (wanted >= 0) setView(wanted);
  else if (WINDOWS[Number(key) - 1]) setWindow(Number(key) - 1);
  else if (!typing && (key === "arrowup" || key === "arrowdown")) moveSlice(key === "arrowup" ? 1 : -1);
  else return;
  event.preventDefault();
}

function moveSlice(by) {
  const move = [0, 0, 0];
  move[[2, 1, 0, 2][view]] = by;
  nv.moveCrosshairInVox(...move);
}

async function start() {
  if (!document.createElement("canvas").getContext("webgl2")) {
    notice("The viewer needs WebGL 2: use another browser, or switch on graphics acceleration in its settings.", "failed");
    return;
  }
  about = await (await fetch("/cases.json")).json();
  WINDOWS[0][1] = about.window_hu;
  nv = new niivue.Niivue({
    backColor: [0, 0, 0, 1], crosshairColor: [0.6, 0.75, 0.9, 0.7], crosshairWidth: 0.4, crosshairGap: 8,
    isRadiologicalConvention: true, dragAndDropEnabled: false, 
    viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "", loadingText: "", logLevel: "error",
  });
  nv.onLocationChange = (where) => { position = where.vox.map(Math.round); readout(); };
  nv.onIntensityChange = showWindow;
  await nv.attachToCanvas(element("volume"));
  for (const { name, colours } of LAYERS) {
    const [R, G, B] = [0, 1, 2].map((part) => [0, ...colours.map((colour) => colour[part])]);
    const I = [0, ...colours.map((_, n) => Math.round(255 * (n + 1) / colours.length))];
    nv.addColormap(name, { R, G, B, A: [0, ...colours.map(() => 255)], I });
  }
  buildControls();
  setView(innerWidth < 768 ? 0 : 3);
  const wanted = about.cases.findIndex((each) => each.name === decodeURIComponent(location.hash.slice(1)));
  await showCase(wanted >= 0 ? wanted : about.first);
}

start().catch((error) => notice(error.message, "failed"));
