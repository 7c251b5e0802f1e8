/* The floor plan: all chips on one canvas, zoomed by d3-zoom. A unit of its plane is the side of a
 * core. Colours are worked out once per change of the figure, in 65 bins, so that drawing 20,000
 * cores is a loop over rectangles sorted by colour. */
const Plan = (() => {
  const {D, C, F, el} = R;
  const [meshX, meshY] = D.mesh.cores, [routerX, routerY] = D.mesh.router, chipsX = D.mesh.chips[0];
  const GAP = 1.2, TOP = 2.1;
  const columns = D.chips.map(c => c.id % chipsX),
        rows = D.chips.map(c => Math.floor(c.id / chipsX));
  const left = d3.min(columns), top = d3.min(rows);
  const width = (d3.max(columns) - left + 1) * (meshX + GAP) - GAP;
  const height = (d3.max(rows) - top + 1) * (meshY + TOP);
  const originX = chip => (chip % chipsX - left) * (meshX + GAP);
  const originY = chip => (Math.floor(chip / chipsX) - top) * (meshY + TOP) + TOP;
  const X = new Float32Array(C.n), Y = new Float32Array(C.n);
  const at = new Map();
  for (let i = 0; i < C.n; i++) {
    X[i] = originX(C.chip[i]) + C.x[i];
    Y[i] = originY(C.chip[i]) + C.y[i];
    at.set(R.placeKey(C.chip[i], C.x[i], C.y[i]), i);
  }
  /* constraints, in the plane: places hatched both ways where forbidden, one way where reserved */
  const HATCH = "M.1 .1h.8v.8h-.8zM.1 .5L.5 .1M.1 .9L.9 .1M.5 .9L.9 .5",
        BACK = "M.5 .1L.9 .5M.1 .1L.9 .9M.1 .5L.5 .9", kinds = {forbidden: 0, reserved: 0};
  const hatched = new Path2D();
  for (let i = 0, p = D.marks.places; i < p.length; i += 4) {
    const [chip, x, y] = p.slice(i, i + 3), {reserved} = R.forbiddenBy(chip, x, y);
    hatched.addPath(
        new Path2D(reserved ? HATCH : HATCH + BACK),
        new DOMMatrix().translate(originX(chip) + x, originY(chip) + y));
    kinds[reserved ? "reserved" : "forbidden"]++;
  }
  const chipAt = new Map(D.chips.map(c => [c.id, c]));

  const canvas = document.getElementById("plan"), box = document.getElementById("plan-box"),
        tip = document.getElementById("plan-tip");
  const context = canvas.getContext("2d");
  const view = {
    by: "layer",
    links: false,
    hover: -1,
    transform: d3.zoomIdentity,
    colour: [],
    order: new Uint32Array(C.n),
    bins: 1,
    max: 0
  };
  let queued = false, k0 = 1;

  /* ---- colours ---- */
  const options = [{key: "layer", label: "Layer"}];
  D.figures.forEach((f, i) => {
    if (i < R.LIMITED)
      options.push(
          {key: "share:" + f.key, label: f.label + " (share of limit)", figure: i, share: true});
  });
  D.figures.forEach((f, i) => {
    if (R.known(i) && i >= R.LIMITED) options.push({key: f.key, label: f.label, figure: i});
  });
  options.splice(
      1, 0,
      {key: "fullest", label: "Fullest resource (share of limit)", fullest: true, share: true});
  const chosen = () => options.find(o => o.key === view.by);
  const fullest = core => d3.max(d3.range(R.LIMITED), i => R.share(core, i));
  const amount = (o, core) => o.fullest ? fullest(core) :
      o.share                           ? R.share(core, o.figure) :
                                          R.value(core, o.figure);

  const recolour = () => {
    const o = chosen(), key = new Uint32Array(C.n);
    if (o.key === "layer") {
      view.colour = D.layers.map(l => l.colour).concat(["#8a929c"]);
      for (let i = 0; i < C.n; i++) key[i] = R.mainLayer[i] < 0 ? D.layers.length : R.mainLayer[i];
    } else {
      let most = o.share ? 1 : 0;
      const v = new Float64Array(C.n);
      for (let i = 0; i < C.n; i++) {
        v[i] = amount(o, i);
        if (!o.share && v[i] > most) most = v[i];
      }
      view.max = most;
      view.colour = d3.range(64).map(b => R.scale((b + 0.5) / 64)).concat(["#8a929c"]);
      for (let i = 0; i < C.n; i++)
        key[i] =
            Number.isNaN(v[i]) ? 64 : Math.min(63, Math.floor(most > 0 ? v[i] / most * 64 : 0));
    }
    view.key = key;
    view.order = Uint32Array.from(d3.range(C.n)).sort((a, b) => key[a] - key[b] || a - b);
    drawScale();
    draw();
  };

  /* ---- links ---- */
  const links = [];
  if (D.links) {
    const perX = Math.ceil(meshX / routerX), perY = Math.ceil(meshY / routerY), L = D.links;
    const centre = (x, y) => {
      const chip = Math.floor(y / perY) * chipsX + Math.floor(x / perX);
      return [
        originX(chip) + (x % perX + 0.5) * routerX, originY(chip) + (y % perY + 0.5) * routerY,
        chip, x % perX, y % perY
      ];
    };
    const names = ["east", "west", "south", "north"], dx = [1, -1, 0, 0], dy = [0, 0, 1, -1];
    for (let i = 0; i < L.length; i += 6)
      for (let d = 0; d < 4; d++) {
        if (!(L[i + 2 + d] > 0)) continue;
        const a = centre(L[i], L[i + 1]), b = centre(L[i] + dx[d], L[i + 1] + dy[d]);
        const side = 0.2 * Math.min(routerX, routerY), ox = -dy[d] * side, oy = dx[d] * side;
        links.push({
          load: L[i + 2 + d],
          chip: a[2],
          x: a[3],
          y: a[4],
          direction: names[d],
          over: a[2] !== b[2],
          line: [a[0] + ox, a[1] + oy, b[0] + ox, b[1] + oy]
        });
      }
    links.sort((a, b) => a.load - b.load);
  }
  const mostLoad = links.length ? links[links.length - 1].load : 0;
  const paths = d3.range(24).map(() => new Path2D());
  links.forEach(l => {
    const p = paths[Math.min(23, Math.floor(l.load / mostLoad * 24))];
    p.moveTo(l.line[0], l.line[1]);
    p.lineTo(l.line[2], l.line[3]);
  });

  /* ---- drawing ---- */
  const draw = () => {
    if (!queued) {
      queued = true;
      requestAnimationFrame(paint);
    }
  };
  const visible = () => {
    const t = view.transform, w = canvas.clientWidth, h = canvas.clientHeight;
    return [(-t.x) / t.k - 1, (-t.y) / t.k - 1, (w - t.x) / t.k, (h - t.y) / t.k];
  };
  const paintCores = (k, seen) => {
    const [x0, y0, x1, y1] = seen, layer = R.state.layer, seam = k > 5 ? 0.06 : 0.02;
    const wide = routerX * routerY > 1 && k > 5 ? 0.14 : seam;
    let last = -1;
    const dim = new Uint8Array(C.n);
    if (layer >= 0) {
      dim.fill(1);
      R.coresOf[layer].forEach(i => {
        dim[i] = 0;
      });
    }
    for (let n = 0; n < C.n; n++) {
      const i = view.order[n];
      if (X[i] < x0 || X[i] > x1 || Y[i] < y0 || Y[i] > y1) continue;
      const key = view.key[i] * 2 + dim[i];
      if (key !== last) {
        context.fillStyle = view.links ? R.css("--ghost") : view.colour[view.key[i]];
        context.globalAlpha = dim[i] ? 0.13 : view.links ? 0.55 : 1;
        last = key;
      }
      const l = C.x[i] % routerX === 0 && routerX > 1 ? wide : seam,
            u = C.y[i] % routerY === 0 && routerY > 1 ? wide : seam;
      context.fillRect(X[i] + l, Y[i] + u, 1 - l - seam, 1 - u - seam);
    }
    context.globalAlpha = 1;
    if (k > 20 && !view.links && view.by === "layer") paintGuests(seen, dim);
  };
  /* cores of several layers: a band at the foot, divided as their neurons are */
  const paintGuests = (seen, dim) => {
    const [x0, y0, x1, y1] = seen;
    for (let i = 0; i < C.n; i++) {
      if (C.tiles[i] < 2 || X[i] < x0 || X[i] > x1 || Y[i] < y0 || Y[i] > y1) continue;
      const tiles = R.tilesOf(i), all = d3.sum(tiles, t => t.neurons);
      if (tiles.every(t => t.layer === tiles[0].layer)) continue;
      let from = X[i] + 0.1;
      for (const t of tiles) {
        const w = 0.8 * t.neurons / all;
        context.globalAlpha = dim[i] ? 0.13 : 1;
        context.fillStyle = D.layers[t.layer].colour;
        context.fillRect(from, Y[i] + 0.68, w, 0.24);
        from += w;
      }
      context.globalAlpha = dim[i] ? 0.13 : 0.9;
      context.strokeStyle = R.css("--panel");
      context.lineWidth = 0.03;
      context.strokeRect(X[i] + 0.1, Y[i] + 0.68, 0.8, 0.24);
    }
    context.globalAlpha = 1;
  };
  const paintText = (k, seen) => {
    const [x0, y0, x1, y1] = seen, t = view.transform;
    context.setTransform(ratio(), 0, 0, ratio(), 0, 0);
    context.textBaseline = "alphabetic";
    context.fillStyle = R.css("--muted");
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "left";
    if (meshX * k > 46)
      for (const c of D.chips) {
        const x = originX(c.id) * k + t.x, y = originY(c.id) * k + t.y - 5;
        if (TOP * k > 12)
          context.fillText(
              meshX * k > 150 ? `chip ${c.id} · ${c.cores} cores` : `chip ${c.id}`, x, y);
      }
    if (k < 30) return;
    context.textAlign = "center";
    context.font = "600 11px system-ui, sans-serif";
    for (let i = 0; i < C.n; i++) {
      if (X[i] < x0 || X[i] > x1 || Y[i] < y0 || Y[i] > y1) continue;
      const fill = d3.lab(view.links ? R.css("--ghost") : view.colour[view.key[i]]).l > 60 ?
          "#10141a" :
          "#ffffff";
      context.fillStyle = fill;
      const cx = (X[i] + 0.5) * k + t.x, cy = (Y[i] + 0.45) * k + t.y;
      context.fillText(i, cx, cy);
      if (k > 64) {
        const o = chosen(),
              name = R.mainLayer[i] < 0 ?
            "" :
            D.layers[R.mainLayer[i]].name.split(".").slice(-2).join(".");
        context.font = "10.5px system-ui, sans-serif";
        const text = o.key === "layer" ? R.fit(name, k - 8, context.font) :
            o.share                    ? R.percent(amount(o, i)) :
                                         R.figure(o.figure, amount(o, i));
        context.fillText(text, cx, cy + 13);
        context.font = "600 11px system-ui, sans-serif";
      }
    }
  };
  const paintMarks = (k, seen) => {
    const [x0, y0, x1, y1] = seen;
    context.strokeStyle = R.css("--muted");
    context.lineWidth = Math.min(0.06, 1 / k);
    context.stroke(hatched);
    context.fillStyle = "#ffffff";
    context.strokeStyle = "#1b2027";
    context.lineWidth = Math.min(0.05, 1.2 / k);
    for (const i of R.pins.keys()) {
      if (X[i] < x0 || X[i] > x1 || Y[i] < y0 || Y[i] > y1) continue;
      context.beginPath();
      context.arc(X[i] + 0.8, Y[i] + 0.2, 0.13, 0, 7);
      context.fill();
      context.stroke();
    }
  };
  const outline = (core, colour, width) => {
    if (core < 0) return;
    context.strokeStyle = colour;
    context.lineWidth = width / view.transform.k;
    context.strokeRect(X[core] - 0.04, Y[core] - 0.04, 1.08, 1.08);
  };
  const ratio = () => window.devicePixelRatio || 1;
  function paint() {
    queued = false;
    const t = view.transform, r = ratio(), w = canvas.clientWidth, h = canvas.clientHeight,
          seen = visible();
    if (canvas.width !== Math.round(w * r) || canvas.height !== Math.round(h * r)) {
      canvas.width = Math.round(w * r);
      canvas.height = Math.round(h * r);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(r * t.k, 0, 0, r * t.k, r * t.x, r * t.y);
    context.fillStyle = R.css("--chip");
    context.strokeStyle = R.css("--line");
    context.lineWidth = 1 / t.k;
    for (const c of D.chips) {
      context.fillRect(originX(c.id) - 0.2, originY(c.id) - 0.2, meshX + 0.4, meshY + 0.4);
      context.strokeRect(originX(c.id) - 0.2, originY(c.id) - 0.2, meshX + 0.4, meshY + 0.4);
    }
    paintCores(t.k, seen);
    if (view.links) {
      context.lineCap = "butt";
      paths.forEach((p, b) => {
        context.globalAlpha = 0.45 + 0.55 * b / 24;
        context.strokeStyle = R.scale((b + 0.5) / 24);
        context.lineWidth = Math.max((0.1 + 0.2 * b / 24) * Math.min(routerX, routerY), 0.8 / t.k);
        context.stroke(p);
      });
      context.globalAlpha = 1;
    }
    paintMarks(t.k, seen);
    outline(view.hover, R.css("--muted"), 2);
    outline(R.state.core, R.css("--accent"), 3);
    const first = (D.verify || {}).first_mismatch;
    if (first && first.core !== null && first.core !== undefined && first.core < C.n) {
      context.strokeStyle = R.css("--bad");
      context.lineWidth = 3 / t.k;
      const x = X[first.core] + 0.5, y = Y[first.core] + 0.5, s = Math.max(0.7, 9 / t.k);
      context.beginPath();
      context.arc(x, y, s, 0, 7);
      context.stroke();
    }
    paintText(t.k, seen);
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn || 0) + 1);
  }

  /* ---- zoom, hover, keys ---- */
  const zoom = d3.zoom().on("zoom", () => {
    view.transform = d3.event.transform;
    draw();
  });
  const selection = d3.select(canvas).call(zoom).on("dblclick.zoom", null);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const go = (t, slow) =>
      (slow && !calm ? selection.transition().duration(350) : selection).call(zoom.transform, t);
  const frame = (x, y, w, h, slow) => {
    const W = canvas.clientWidth, H = canvas.clientHeight;
    const k = Math.min((W - 32) / w, (H - 24) / h, 110);
    go(d3.zoomIdentity.translate((W - w * k) / 2 - x * k, (H - h * k) / 2 - y * k).scale(k), slow);
    return k;
  };
  const fitAll = slow => {
    const W = canvas.clientWidth, H = canvas.clientHeight;
    k0 = Math.min((W - 32) / width, (H - 24) / height, 110);
    zoom.scaleExtent([k0 * 0.7, 120])
        .translateExtent([[-width * 0.2, -height * 0.2], [width * 1.2, height * 1.2]])
        .extent([[0, 0], [W, H]]);
    frame(0, 0, width, height, slow);
  };
  const focusChip = id =>
      frame(originX(id) - 0.6, originY(id) - TOP, meshX + 1.2, meshY + TOP + 0.6, true);
  const focusCore = (core, slow) => {
    const k = Math.max(view.transform.k, Math.min(28, 90)), W = canvas.clientWidth,
          H = canvas.clientHeight;
    go(d3.zoomIdentity.translate(W / 2 - (X[core] + 0.5) * k, H / 2 - (Y[core] + 0.5) * k).scale(k),
       slow !== false);
  };
  /* the place under a point, null outside of chips in use; its core, or -1 */
  const placeUnder = (px, py) => {
    const x = (px - view.transform.x) / view.transform.k,
          y = (py - view.transform.y) / view.transform.k;
    const column = Math.floor(x / (meshX + GAP)), row = Math.floor(y / (meshY + TOP));
    if (x < 0 || y < 0) return null;
    const cx = Math.floor(x - column * (meshX + GAP)),
          cy = Math.floor(y - row * (meshY + TOP) - TOP);
    if (cx < 0 || cy < 0 || cx >= meshX || cy >= meshY) return null;
    const chip = (row + top) * chipsX + column + left, core = at.get(R.placeKey(chip, cx, cy));
    return {chip, x: cx, y: cy, core: core === undefined ? -1 : core};
  };
  /* links that leave the core's router, the busiest first */
  const linksOf = core => {
    const x = Math.floor(C.x[core] / routerX), y = Math.floor(C.y[core] / routerY);
    return links.filter(l => l.chip === C.chip[core] && l.x === x && l.y === y).reverse();
  };
  const lines = core => {
    const o = chosen(), tiles = R.tilesOf(core);
    const names = [...new Set(tiles.map(t => D.layers[t.layer].name))];
    const out = [
      el("b", {}, `Core ${core}`), ` · chip ${C.chip[core]} · x ${C.x[core]}, y ${C.y[core]}`,
      el("br")
    ];
    names.slice(0, 4).forEach(n => out.push(n, el("br")));
    (R.pins.get(core) || []).forEach(p => out.push(`Pinned: ${p}`, el("br")));
    if (names.length > 4) out.push(`and ${names.length - 4} more layers`, el("br"));
    if (view.links)
      linksOf(core).forEach(
          l => out.push(`${l.direction} ${R.num(l.load)} messages per image`, el("br")));
    else if (o.key !== "layer")
      out.push(
          `${o.label}: ${
              o.share ? R.percent(amount(o, core)) : R.figure(o.figure, amount(o, core))}`,
          el("br"));
    out.push(D.figures.slice(0, 4)
                 .map((f, i) => `${f.label.toLowerCase()} ${R.percent(R.share(core, i))}`)
                 .join(" · "));
    return out;
  };
  const forbiddenLines = (place, by) => {
    const word = by.reserved ? "Reserved" : "Forbidden";
    return [
      el("b", {}, word), ` · chip ${place.chip} · x ${place.x}, y ${place.y}`, el("br"),
      `By the constraints: ${by.area}`
    ];
  };
  const hover = place => {
    const core = place ? place.core : -1,
          by = place && core < 0 ? R.forbiddenBy(place.chip, place.x, place.y) : null;
    if (core !== view.hover) {
      view.hover = core;
      draw();
    }
    tip.hidden = core < 0 && !by;
    if (tip.hidden) return;
    tip.replaceChildren(...(by ? forbiddenLines(place, by) : lines(core)));
    const t = view.transform, edge = (originX(place.chip) + place.x) * t.k + t.x,
          x = edge + t.k + 8, y = (originY(place.chip) + place.y) * t.k + t.y;
    const w = tip.offsetWidth, h = tip.offsetHeight;
    tip.style.left =
        Math.max(4, x + w > canvas.clientWidth ? edge - w - 8 : x) + "px";
    tip.style.top = Math.max(4, Math.min(y, canvas.clientHeight - h - 4)) + "px";
  };
  canvas.addEventListener("mousemove", e => hover(placeUnder(e.offsetX, e.offsetY)));
  canvas.addEventListener("mouseleave", () => hover(null));
  canvas.addEventListener("click", e => {
    const place = placeUnder(e.offsetX, e.offsetY);
    R.select({core: place ? place.core : -1});
  });
  const step = (dx, dy) => {
    const from = R.state.core;
    if (from < 0) {
      R.select({core: 0});
      return;
    }
    let best = -1, least = Infinity;
    for (let i = 0; i < C.n; i++) {
      const along = (X[i] - X[from]) * dx + (Y[i] - Y[from]) * dy,
            across = Math.abs((X[i] - X[from]) * dy) + Math.abs((Y[i] - Y[from]) * dx);
      if (along > 0.1 && along + 3 * across < least) {
        least = along + 3 * across;
        best = i;
      }
    }
    if (best >= 0) R.select({core: best});
  };
  canvas.addEventListener("keydown", e => {
    const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
    if (moves[e.key]) step(...moves[e.key]);
    else if (e.key === "+" || e.key === "=") selection.call(zoom.scaleBy, 1.5);
    else if (e.key === "-") selection.call(zoom.scaleBy, 1 / 1.5);
    else if (e.key === "0") fitAll(true);
    else if (e.key === "Escape") R.select({core: -1, layer: -1});
    else return;
    e.preventDefault();
  });

  /* ---- scale ---- */
  function drawScale() {
    const o = chosen(), out = [];
    if (view.links) {
      out.push(scaleRow(
          `Messages per image over a link, ${R.perImage}`,
          [0, mostLoad / 2, mostLoad].map(v => R.short(v))));
    } else if (o.key === "layer") {
      out.push(el(
          "span", {class: "note"},
          "A hue is a block or stage of the model, a shade one of its layers, grey a relay. Cores of several layers show them in a band at the foot when you zoom in."));
    } else {
      const ticks =
          [0, view.max / 2, view.max].map(v => o.share ? R.percent(v) : R.figure(o.figure, v));
      out.push(scaleRow(
          `${o.label} of a core${o.share ? "" : ", " + D.figures[o.figure].unit}${
              !o.share && o.figure > F.synapses ? ", " + R.perImage : ""}`,
          ticks));
    }
    if (kinds.forbidden) out.push(markRow(HATCH + BACK, `forbidden (${kinds.forbidden})`));
    if (kinds.reserved) out.push(markRow(HATCH, `reserved (${kinds.reserved})`));
    if (R.pins.size)
      out.push(markRow("M.8 .5A.3 .3 0 1 1 .2 .5A.3 .3 0 1 1 .8 .5", `pinned (${R.pins.size})`));
    document.getElementById("plan-scale").replaceChildren(...out);
  }
  const markRow = (path, text) => {
    const s = d3.create("svg").attr("width", 14).attr("height", 14).attr("viewBox", "0 0 1 1");
    s.append("path").attr("d", path);
    return el("span", {class: "mark"}, s.node(), text);
  };
  const scaleRow = (text, ticks) => {
    const bar = el("div"), labels = el("div", {class: "note"});
    bar.style.cssText = `height:10px;border-radius:3px;background:${R.scaleBar()}`;
    labels.style.cssText = "display:flex;justify-content:space-between";
    ticks.forEach(t => labels.append(el("span", {}, t)));
    const side = el("div");
    side.style.cssText = "width:320px;max-width:60%;flex:none";
    side.append(bar, labels);
    const row = el("div", {}, side, el("span", {class: "note"}, text));
    row.style.cssText = "display:flex;gap:18px;align-items:flex-start";
    return row;
  };

  const setBy = key => {
    view.by = key;
    view.links = false;
    document.getElementById("plan-links").checked = false;
    document.getElementById("plan-by").value = key;
    recolour();
  };
  const setLinks = on => {
    view.links = on && links.length > 0;
    document.getElementById("plan-links").checked = view.links;
    drawScale();
    draw();
  };
  R.events.on("select.plan", draw);
  R.events.on("theme.plan", draw);
  /* as high as the plan needs at this width, within what the style allows */
  new ResizeObserver(() => {
    const most = Math.min(900, Math.max(520, innerHeight - 290)),
          wanted = (box.clientWidth - 32) * height / width + 60;
    box.style.height = Math.round(Math.max(440, Math.min(most, wanted))) + "px";
    fitAll(false);
    draw();
  }).observe(box);
  return {
    options,
    links,
    mostLoad,
    setBy,
    setLinks,
    fitAll,
    focusChip,
    focusCore,
    recolour,
    draw,
    view,
    chipAt,
    zoomBy: f => selection.call(zoom.scaleBy, f),
    screen: core =>
        [(X[core] + 0.5) * view.transform.k + view.transform.x,
         (Y[core] + 0.5) * view.transform.k + view.transform.y]
  };
})();
