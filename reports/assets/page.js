// Draws the page's charts, heatmap and event list from the data inside it. Fetches nothing, stores nothing.
// Says what became of it on <html>: data-charts (how many were drawn, once all are).
(() => {
  'use strict';
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);

  const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const fade = (color, alpha) => `color-mix(in srgb, ${color} ${alpha}%, transparent)`;

  const clock = (seconds, tenths) => {
    const all = tenths ? Math.round(seconds * 10) / 10 : Math.round(seconds);
    const h = Math.floor(all / 3600), m = Math.floor(all / 60) % 60, s = all - 3600 * h - 60 * m;
    const ss = (tenths ? s.toFixed(1) : String(s)).padStart(tenths ? 4 : 2, '0');
    return h ? `${h}:${String(m).padStart(2, '0')}:${ss}` : `${m}:${ss}`;
  };
  const short = (v) => {
    const a = Math.abs(v);
    if (a >= 1e6) return (v / 1e6).toFixed(1) + 'M';
    if (a >= 1e4) return (v / 1e3).toFixed(a >= 1e5 ? 0 : 1).replace(/\.0$/, '') + 'k';
    if (a >= 100 || Number.isInteger(v)) return String(Math.round(v));
    return String(+v.toPrecision(2));
  };
  const seconds = (v) => v < 0.001 ? +(v * 1e6).toPrecision(2) + 'µs' : v < 1 ? +(v * 1e3).toPrecision(3) + 'ms' : +v.toPrecision(3) + 's';
  const WRITE = {
    count: short, perSecond: (v) => short(v) + '/s', seconds, cores: short,
    gibibytes: (v) => short(v) + ' GiB', money: (v) => v.toFixed(2),
  };

  async function load() {
    const element = find('data');
    if (element.type === 'application/json') return JSON.parse(element.textContent);
    const text = atob(element.textContent);
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
  }

  // ---- charts: one time axis, one cursor, one zoom -------------------------------------------------------------
  let data, plots = [], zoom = null, zooming = false;

  // Shading lies under the grid, names over everything, each on a halo so that lines do not cross them out.
  function bandsPlugin(withLabels) {
    const inside = (u, paint) => {
      const { ctx, bbox } = u, ratio = devicePixelRatio || 1;
      ctx.save();
      ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
      for (const band of data.bands) {
        const from = u.valToPos(band.from, 'x', true), to = band.to === null ? from : u.valToPos(band.to, 'x', true);
        if (to >= bbox.left && from <= bbox.left + bbox.width) paint(ctx, bbox, ratio, band, from, to);
      }
      ctx.restore();
    };
    const shade = (u) => {
      if (data.warmup > 0) {
        const { ctx, bbox } = u, to = Math.min(u.valToPos(data.warmup, 'x', true), bbox.left + bbox.width);
        ctx.fillStyle = fade(css('--muted'), 13);
        if (to > bbox.left) ctx.fillRect(bbox.left, bbox.top, to - bbox.left, bbox.height);
      }
      inside(u, (ctx, bbox, ratio, band, from, to) => {
        ctx.strokeStyle = band.mark ? css('--accent') : css('--fail'); ctx.lineWidth = ratio;
        ctx.setLineDash(band.mark ? [4 * ratio, 4 * ratio] : []);
        if (to > from) { ctx.fillStyle = css('--band'); ctx.fillRect(from, bbox.top, to - from, bbox.height); }
        ctx.beginPath(); ctx.moveTo(from, bbox.top); ctx.lineTo(from, bbox.top + bbox.height); ctx.stroke();
      });
    };
    // A fault that strikes often is named once, at the first strike in view.
    const name = (u) => {
      const taken = [], told = new Set();
      inside(u, (ctx, bbox, ratio, band, from) => {
        if (told.has(band.label)) return;
        told.add(band.label);
        const label = band.times > 1 ? `${band.label} ×${band.times}` : band.label;
        ctx.font = `${11 * ratio}px ${css('--sans')}`; ctx.textBaseline = 'top'; ctx.textAlign = 'left'; ctx.setLineDash([]);
        const wide = ctx.measureText(label).width;
        const x = Math.min(Math.max(from, bbox.left) + 4 * ratio, bbox.left + bbox.width - wide - 4 * ratio);
        const row = [0, 1, 2].find((r) => !taken.some((t) => t.row === r && x < t.to && x + wide > t.from));
        if (row === undefined) return;
        taken.push({ row, from: x, to: x + wide + 6 * ratio });
        const y = bbox.top + (3 + 13 * row) * ratio;
        ctx.lineJoin = 'round'; ctx.lineWidth = 4 * ratio; ctx.strokeStyle = css('--panel'); ctx.strokeText(label, x, y);
        ctx.fillStyle = band.mark ? css('--accent') : css('--fail'); ctx.fillText(label, x, y);
      });
    };
    return { hooks: { drawClear: shade, draw: withLabels ? name : () => {} } };
  }

  // Between which values all seeds lie: a tint under each line.
  function seedsPlugin(spec) {
    const { low, high, end } = spec.seeds, spans = 200;
    const tint = (u) => {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
      const y = (v) => u.valToPos(spec.log ? Math.max(v, u.scales.y.min) : v, 'y', true);
      spec.series.forEach((line, index) => {
        // One path for all spans: where two touch, the tint is not doubled.
        ctx.fillStyle = fade(css('--c' + line.color), 22);
        ctx.beginPath();
        low[index].forEach((v, span) => {
          if (v === null) return;
          const from = u.valToPos(span * end / spans, 'x', true), to = u.valToPos((span + 1) * end / spans, 'x', true);
          const top = y(high[index][span]);
          ctx.rect(from, top, to - from + 0.5, Math.max(y(v) - top, 1));
        });
        ctx.fill();
      });
      ctx.restore();
    };
    return { hooks: { drawClear: tint } };
  }

  // Room for the names of faults and marks above the lines, where there are any.
  const logRange = (low, high, named) => {
    const [from, to] = uPlot.rangeLog(low, high, 10, false);
    return [from, named && to < high * 1.5 ? to * 1.6 : to];
  };

  function build(spec, holder) {
    const large = holder.parentElement.classList.contains('large');
    const write = WRITE[spec.scale], below = spec.x.map(() => 0);
    let previous = 0;
    const columns = [spec.x], series = [{ label: 'time', value: (u, v) => v === null ? '–' : clock(v, true) }], bands = [];
    spec.series.forEach((line, index) => {
      const color = css('--c' + line.color);
      columns.push(line.y.map((v, i) => {
        if (v === null || (spec.log && v <= 0)) return null;
        return line.stack ? (below[i] += v) : v;
      }));
      if (line.stack) {
        if (previous) bands.push({ series: [index + 1, previous], fill: fade(color, 45) });
        previous = index + 1;
      }
      series.push({
        label: line.label, stroke: color, width: 1.6, dash: DASHES[line.dash], spanGaps: false, points: { show: false },
        fill: line.stack ? fade(color, 45) : undefined,
        paths: line.step ? uPlot.paths.stepped({ align: 1 }) : undefined,
        value: (u, v, s, i) => i === null || line.y[i] === null ? '–' : write(line.y[i]),
      });
    });
    const axis = { stroke: css('--muted'), grid: { stroke: css('--line'), width: 1 }, ticks: { stroke: css('--line'), width: 1, size: 4 }, font: '11px ' + css('--sans') };
    const most = spec.seeds ? Math.max(...spec.seeds.high.flat().filter((v) => v !== null)) : 0;
    const plot = new uPlot({
      width: Math.max(holder.clientWidth, 160), height: large ? 210 : 150,
      series, bands,
      cursor: { sync: { key: 'wavetank' }, drag: { x: true, y: false, uni: 8 }, y: false, points: { size: 6 } },
      scales: { x: { time: false }, y: spec.log ? { distr: 3, range: (u, low, high) => low === null || high <= 0 ? [0.001, 1] : logRange(low, Math.max(high, low * 1.5, most), large && data.bands.length) } : { range: (u, low, high) => [0, Math.max(high, most) > 0 ? Math.max(high, most) * (large && data.bands.length ? 1.16 : 1.06) : 1] } },
      axes: [
        { ...axis, size: 26, space: 62, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800], values: (u, all) => all.map((v) => clock(v)) },
        { ...axis, size: 52, space: large ? 34 : 28, values: (u, all) => all.map((v) => v === null ? '' : (spec.scale === 'gibibytes' ? short : write)(v)) },
      ],
      legend: { live: true, markers: { dash: (u, i) => spec.series[i - 1]?.dash ? 'dashed' : 'solid' } },
      plugins: spec.seeds ? [bandsPlugin(large), seedsPlugin(spec)] : [bandsPlugin(large)],
      hooks: { setScale: [(u, key) => { if (key === 'x') zoomed(u); }] },
    }, columns, holder);
    holder.tabIndex = 0;
    holder.setAttribute('role', 'application');
    holder.setAttribute('aria-label', spec.title + ' over time. Arrow keys move the cursor, plus and minus zoom, Escape shows all.');
    return plot;
  }

  function zoomed(plot) {
    if (zooming || !plots.length) return;
    const { min, max } = plot.scales.x;
    const full = min <= spanOf(plot)[0] + 1e-6 && max >= spanOf(plot)[1] - 1e-6;
    setZoom(full ? null : [min, max], plot);
  }
  const spanOf = (plot) => [plot.data[0][0], plot.data[0][plot.data[0].length - 1]];

  function setZoom(range, except) {
    zoom = range;
    zooming = true;
    for (const plot of plots) {
      if (plot === except) continue;
      const [min, max] = range || spanOf(plot);
      plot.setScale('x', { min, max });
    }
    // uPlot fires its hooks later in this turn.
    queueMicrotask(() => queueMicrotask(() => { zooming = false; }));
    const chip = find('brush');
    chip.hidden = !range;
    chip.textContent = '';
    if (range) {
      const button = document.createElement('button');
      button.type = 'button'; button.textContent = 'Show all';
      button.addEventListener('click', () => setZoom(null));
      chip.append(`${clock(range[0], true)} – ${clock(range[1], true)}`, button);
    }
    listEvents();
  }

  function keys(event) {
    const holder = event.target.closest('.live');
    const plot = holder && plots.find((p) => p.root.parentElement === holder);
    if (!plot) return;
    const { min, max } = plot.scales.x, width = plot.bbox.width / (devicePixelRatio || 1);
    const step = (event.shiftKey ? 0.05 : 0.01) * width, left = plot.cursor.left >= 0 ? plot.cursor.left : width / 2;
    const middle = plot.posToVal(left, 'x'), around = (factor) => {
      const half = (max - min) * factor / 2;
      setZoom([Math.max(0, middle - half), Math.min(data.end, middle + half)]);
    };
    const act = {
      ArrowLeft: () => plot.setCursor({ left: Math.max(0, left - step), top: 10 }),
      ArrowRight: () => plot.setCursor({ left: Math.min(width, left + step), top: 10 }),
      '+': () => around(0.5), '=': () => around(0.5), '-': () => around(2), Escape: () => setZoom(null),
    }[event.key];
    if (act) { event.preventDefault(); act(); }
  }

  function drawCharts() {
    plots.forEach((plot) => plot.destroy());
    plots = [];
    const drawn = [];
    for (const spec of data.charts) {
      const holder = document.querySelector(`[data-chart="${spec.id}"]`);
      if (holder) drawn.push(build(spec, holder));
    }
    plots = drawn;
    if (zoom) setZoom(zoom);
    drawHeat();
    root.dataset.charts = String(plots.length + (data.heat ? 1 : 0));
  }

  function resize() {
    for (const plot of plots) {
      const width = Math.max(plot.root.parentElement.clientWidth, 160);
      if (width !== plot.width) plot.setSize({ width, height: plot.height });
    }
    drawHeat();
  }

  // ---- node × time ---------------------------------------------------------------------------------------------
  const RAMP = ['#00224e', '#35456c', '#666970', '#948e77', '#c8b866', '#fee838'].map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const rampAt = (share) => {
    const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1), low = Math.min(Math.floor(place), RAMP.length - 2);
    return RAMP[low].map((c, i) => Math.round(c + (RAMP[low + 1][i] - c) * (place - low)));
  };
  let cell = [0, 0];

  function drawHeat() {
    const canvas = find('heat'), heat = data.heat;
    if (!canvas || !heat) return;
    const what = document.querySelector('input[name=heat]:checked').value, values = heat[what];
    const most = what === 'pods' ? Math.max(1, ...values) : 100, rows = heat.rows.length, columns = heat.columns;
    const tall = Math.max(3, Math.min(16, Math.floor(420 / rows))), ratio = devicePixelRatio || 1;
    const width = Math.max(canvas.clientWidth, 100);
    canvas.style.height = rows * tall + 'px';
    canvas.width = width * ratio; canvas.height = rows * tall * ratio;
    const ctx = canvas.getContext('2d');
    ctx.fillStyle = css('--soft'); ctx.fillRect(0, 0, canvas.width, canvas.height);
    const gap = tall > 6 ? ratio : 0;
    for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
      const value = values[row * columns + column];
      if (value < 0) continue;
      const from = Math.round(column * canvas.width / columns), to = Math.round((column + 1) * canvas.width / columns);
      ctx.fillStyle = `rgb(${rampAt(value / most)})`;
      ctx.fillRect(from, row * tall * ratio, to - from, tall * ratio - gap);
    }
    if (document.activeElement === canvas) {
      ctx.strokeStyle = '#d55e00'; ctx.lineWidth = 2 * ratio;
      ctx.strokeRect(cell[1] * canvas.width / columns, cell[0] * tall * ratio, Math.max(canvas.width / columns, 4), tall * ratio);
    }
    find('heat-high').textContent = what === 'pods' ? `${most} pods` : '100 %';
  }

  function readCell(row, column) {
    const heat = data.heat, what = document.querySelector('input[name=heat]:checked').value;
    cell = [Math.min(Math.max(row, 0), heat.rows.length - 1), Math.min(Math.max(column, 0), heat.columns - 1)];
    const value = heat[what][cell[0] * heat.columns + cell[1]];
    const said = value < 0 ? 'not there' : what === 'pods' ? `${value} pods` : `${value} % of cpu ${what}`;
    find('heat-cell').textContent = `${heat.rows[cell[0]]} · ${clock(cell[1] * data.end / heat.columns)} · ${said}`;
  }

  function wireHeat() {
    const canvas = find('heat');
    if (!canvas || !data.heat) return;
    canvas.addEventListener('pointermove', (event) => {
      const box = canvas.getBoundingClientRect();
      readCell(Math.floor((event.clientY - box.top) / box.height * data.heat.rows.length), Math.floor((event.clientX - box.left) / box.width * data.heat.columns));
    });
    canvas.addEventListener('keydown', (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      readCell(cell[0] + move[0], cell[1] + move[1] * (event.shiftKey ? 10 : 1));
      drawHeat();
    });
    canvas.addEventListener('focus', () => { readCell(...cell); drawHeat(); });
    canvas.addEventListener('blur', drawHeat);
    document.querySelectorAll('input[name=heat]').forEach((input) => input.addEventListener('change', drawHeat));
  }

  // ---- events --------------------------------------------------------------------------------------------------
  const PAGE = 200;
  let shown = PAGE;

  function listEvents() {
    const rows = find('f-rows');
    if (!rows) return;
    const { events } = data, kind = find('f-type').value, reason = find('f-reason').value, text = find('f-text').value.trim().toLowerCase();
    const matches = [];
    for (let i = 0; i < events.t.length; i++) {
      if (zoom && (events.t[i] < zoom[0] || events.t[i] > zoom[1])) continue;
      if (kind && String(events.warning[i]) !== kind) continue;
      if (reason && String(events.reason[i]) !== reason) continue;
      if (text && !(events.texts[events.object[i]] + ' ' + events.texts[events.message[i]]).toLowerCase().includes(text)) continue;
      matches.push(i);
    }
    const lines = document.createDocumentFragment();
    for (const i of matches.slice(0, shown)) {
      const line = document.createElement('tr');
      line.className = events.warning[i] ? 'warning' : 'normal';
      const cells = [clock(events.t[i], true), events.warning[i] ? 'Warning' : 'Normal'];
      for (const column of ['reason', 'object', 'message', 'source']) cells.push(events.texts[events[column][i]]);
      for (const content of cells) line.insertCell().textContent = content;
      lines.append(line);
    }
    rows.replaceChildren(lines);
    find('f-count').textContent = `${Math.min(shown, matches.length)} of ${matches.length}${zoom ? ' in the zoomed time' : ''}`;
    find('f-more').hidden = matches.length <= shown;
  }

  function wireEvents() {
    if (!find('f-rows')) return;
    const counts = new Map();
    for (const reason of data.events.reason) counts.set(reason, (counts.get(reason) || 0) + 1);
    for (const [reason, count] of [...counts].sort((a, b) => b[1] - a[1])) {
      const option = document.createElement('option');
      option.value = String(reason); option.textContent = `${data.events.texts[reason]} (${count})`;
      find('f-reason').append(option);
    }
    const again = () => { shown = PAGE; listEvents(); };
    find('filters').addEventListener('submit', (event) => event.preventDefault());
    for (const id of ['f-type', 'f-reason']) find(id).addEventListener('change', again);
    find('f-text').addEventListener('input', again);
    find('f-more').addEventListener('click', () => { shown += PAGE; listEvents(); });
    listEvents();
  }

  // ---- all together --------------------------------------------------------------------------------------------
  function wire() {
    addEventListener('themechange', drawCharts);
    document.addEventListener('keydown', keys);
    document.querySelectorAll('[data-time]').forEach((button) => button.addEventListener('click', () => {
      const at = Number(button.dataset.time), half = Math.max(data.end / 12, 5);
      setZoom([Math.max(0, at - half), Math.min(data.end, at + half)]);
      find('timeline').scrollIntoView();
    }));
    let due = 0;
    new ResizeObserver(() => { cancelAnimationFrame(due); due = requestAnimationFrame(resize); }).observe(find('main'));
  }

  load().then((loaded) => {
    data = loaded;
    wireHeat();
    drawCharts();
    wireEvents();
    wire();
  }).catch((error) => {
    dispatchEvent(new Event('pagewrong'));
    // Without its data the page still has its pictures.
    root.classList.remove('js');
    const problem = find('problem');
    problem.textContent = 'The charts could not be drawn (' + error.message + '). The pictures and tables below say the same.';
    problem.hidden = false;
  });
})();
