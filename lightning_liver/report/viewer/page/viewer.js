// The viewer: the server of this page sends scan and masks of a case, NiiVue draws them.
"use strict";

const FIRST = [[86, 180, 233], [230, 159, 0]], SECOND = [[124, 242, 192], [255, 107, 107]];  // liver, tumour
const WRONG = [[86, 180, 233], [0, 114, 178], [240, 228, 66], [213, 94, 0]];
const KINDS = {
  truth: { title: "Truth", key: "t", shown: true, opacity: 1, contoured: true, colours: FIRST,
    swatches: [["true-liver", "liver"], ["true-tumour", "tumour"]] },
  prediction: { title: "Prediction", key: "p", shown: true, opacity: 1, contoured: true, colours: SECOND,
    waiting: "The network predicts this case, which takes a while the first time.",
    swatches: [["predicted-liver", "liver"], ["predicted-tumour", "tumour"]] },
  error: { title: "Errors", key: "e", shown: false, opacity: 0.8, colours: WRONG,
    swatches: [["liver-too-much", "liver, false positive"], ["liver-missing", "liver, false negative"],
      ["tumour-too-much", "tumour, false positive"], ["tumour-missing", "tumour, false negative"]] },
  proposal: { title: "Proposal", key: "p", shown: true, opacity: 1, contoured: true, colours: SECOND,
    swatches: [["predicted-liver", "liver"], ["predicted-tumour", "tumour"]] },
  correction: { title: "Correction", key: "r", shown: true, opacity: 1, contoured: true, colours: FIRST,
    swatches: [["true-liver", "liver"], ["true-tumour", "tumour"]] },
  change: { title: "Changed", key: "d", shown: false, opacity: 0.8, colours: WRONG,
    swatches: [["liver-too-much", "liver, erased"], ["liver-missing", "liver, added"],
      ["tumour-too-much", "tumour, erased"], ["tumour-missing", "tumour, added"]] },
  uncertainty: { title: "Uncertainty", key: "u", shown: false, opacity: 0.6, scaled: true,
    colours: [[120, 28, 109], [229, 92, 48], [252, 255, 164]], swatches: [["unsure-low", "low"], ["unsure-high", "high"]] },
};
const WINDOWS = [["Abdomen", [-160, 240]], ["Liver", [0, 200]], ["Lung", [-1350, 150]], ["Bone", [-450, 1050]]];
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
let nv, about, layers = [], current = 0, turn = 0, position = null, view = 0, contours = true;

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
  if (element(`show-${layer.name}`).disabled) return;
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
  for (const layer of layers) {
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
  const [, columns, rows, slices] = nv.volumes[0].hdr.dims, z = position[2], [column, row] = flip(...position);
  const at = (z * rows + row) * columns + column;
  const parts = [`${nv.volumes[0].img[at]} HU`];
  for (const layer of layers.filter((each) => placeOf(each) > 0)) {
    if (layer.contoured) parts.push(`${layer.name}: ${NAMES[layer.labels[at]]}`);
    if (layer.scaled) parts.push(`${layer.name}: ${(layer.labels[at] * layer.slope).toPrecision(2)}`);
  }
  parts.push(`slice ${z + 1} of ${slices}, row ${row + 1}, column ${column + 1}`);
  element("readout").textContent = parts.join(" · ");
}

async function fetchBuffer(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(await response.text());
  return response.arrayBuffer();
}

async function addLayer(layer, path, mine) {
  const buffer = await fetchBuffer(`${path}${layer.name}.nii.gz`);
  if (mine !== turn) return;
  const name = `${layer.name}.nii.gz`;
  const image = await niivue.NVImage.loadFromUrl({ url: name, name, buffer, colormap: layer.name, cal_min: 0, cal_max: layer.colours.length });
  const [, columns, rows] = image.hdr.dims;
  image.name = layer.name;
  layer.labels = image.img;
  layer.slope = image.hdr.scl_slope;
  if (layer.scaled) [image.cal_min, image.cal_max] = [0, 255 * layer.slope];
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
  document.title = `case ${each.name}, ${about.run ?? about.workspace}`;
  element("title").textContent = `Case ${each.name}`;
  element("subtitle").textContent = subtitle(each);
  listLesions(each);
  location.replace(`#${encodeURIComponent(each.name)}`);
  notice("Loading the scan", "loading");
  const kept = nv.volumes.length ? [nv.volumes[0].cal_min, nv.volumes[0].cal_max] : WINDOWS[0][1];
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
    for (const layer of layers.filter((each) => describe(each, n))) {
      if (layer.waiting) notice(layer.waiting);
      await addLayer(layer, each.path, mine);
      if (mine !== turn) return;
      if (layer === layers[0] && "representative_slice" in each) goTo(layer, each.representative_slice);
    }
    if (!("representative_slice" in each)) {
      const seen = layers.find((layer) => layer.contoured && placeOf(layer) > 0 && layer.labels.some((label) => label));
      goTo(seen, sliceWithMost(seen));
    }
    if (mine === turn) notice("", "ready");
  } catch (error) {
    if (mine === turn) notice(error.message, "failed");
  }
}

// Say which file a layer is of, or why it is absent; return whether it is there
function describe(layer, n) {
  const { absent = {}, notes = {} } = about.cases[n], reason = absent[layer.name], row = element(`row-${layer.name}`);
  row.classList.toggle("absent", Boolean(reason));
  for (const input of row.querySelectorAll("input")) input.disabled = Boolean(reason);
  element(`note-${layer.name}`).textContent = reason || notes[layer.name] || "";
  return !reason;
}

// List true and predicted tumours with their place; a click goes to the middle of one
function listLesions(each) {
  const lesions = each.lesions ?? [];
  element("lesions").hidden = !lesions.length;
  const outcome = { reference: ["missed", "found"], predicted: ["false positive", "correct"] };
  element("lesion-list").replaceChildren(...lesions.map((lesion) => {
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
  if (!each.state) return [`run ${about.run}, patient ${each.patient}`, scores].filter(Boolean).join(". ");
  const compared = scores && `Proposal against correction: ${scores}`;
  return [`workspace ${about.workspace}, patient ${each.patient}, round ${each.round}, ${each.state}`, compared].filter(Boolean).join(". ");
}

// Return the slice with most tumour, else with most liver; without a mask the middle one
function sliceWithMost(layer) {
  const [, columns, rows, slices] = nv.volumes[0].hdr.dims, middle = Math.floor(slices / 2);
  if (!layer) return middle;
  const pixels = [1, 2].map(() => new Uint32Array(slices));
  layer.labels.forEach((label, at) => { if (label) pixels[label - 1][Math.floor(at / (columns * rows))] += 1; });
  const counts = pixels[1].some(Boolean) ? pixels[1] : pixels[0];
  return counts.indexOf(Math.max(...counts));
}

// Go to the middle of the tumour, else of the liver, in a slice; without a mask to the middle of the slice
function goTo(layer, z) {
  const [, columns, rows] = nv.volumes[0].hdr.dims;
  const labels = layer ? layer.labels.subarray(z * rows * columns, (z + 1) * rows * columns) : [];
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
  for (const layer of layers) {
    const box = make("input", { type: "checkbox", id: `show-${layer.name}`, checked: layer.shown });
    const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: layer.opacity });
    slider.setAttribute("aria-label", `Opacity of ${layer.title.toLowerCase()}`);
    box.addEventListener("change", () => toggle(layer));
    slider.addEventListener("input", () => { layer.opacity = Number(slider.value); showLayer(layer); });
    const key = make("kbd", { textContent: layer.key.toUpperCase() });
    const swatches = make("p", { className: "swatches" });
    for (const [className, text] of layer.swatches) swatches.append(make("span", {}, make("i", { className }), text), " ");
    const note = make("p", { className: "note", id: `note-${layer.name}` });
    const label = make("label", {}, box, layer.title, key);
    const row = make("div", { className: "layer", id: `row-${layer.name}` }, label, slider, swatches, note);
    element("contours").parentElement.before(row);
  }
  element("mask-keys").replaceChildren(...layers.flatMap(({ key }) => [" ", make("kbd", { textContent: key.toUpperCase() })]));
  element("contours").addEventListener("change", (event) => setContours(event.target.checked));
  WINDOWS.forEach(([title], n) => element("windows").append(button(title, () => setWindow(n))));
  VIEWS.forEach(([title], n) => element("views").append(button(title, () => setView(n))));
  about.cases.forEach((each, n) => {
    const tumour = each.dice.tumour === null ? "" : `tumour ${each.dice.tumour.toFixed(3)}`;
    element("case").append(make("option", { value: n, textContent: [each.name, each.state, tumour].filter(Boolean).join(", ") }));
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
  const layer = layers.find((each) => each.key === key), wanted = VIEWS.findIndex(([, each]) => each === key);
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
  about = JSON.parse(new TextDecoder().decode(await fetchBuffer("/cases.json")));
  layers = about.layers.map((name) => ({ name, ...KINDS[name] }));
  if (about.window_hu) WINDOWS[0] = ["Network", about.window_hu];
  nv = new niivue.Niivue({
    backColor: [0, 0, 0, 1], crosshairColor: [0.6, 0.75, 0.9, 0.7], crosshairWidth: 0.4, crosshairGap: 8,
    isRadiologicalConvention: true, dragAndDropEnabled: false, 
    viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "", loadingText: "", logLevel: "error",
  });
  nv.onLocationChange = (where) => { position = where.vox.map(Math.round); readout(); };
  nv.onIntensityChange = showWindow;
  await nv.attachToCanvas(element("volume"));
  for (const { name, colours } of layers) {
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
