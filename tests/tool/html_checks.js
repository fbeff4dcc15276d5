// SPDX-License-Identifier: MIT
// What tests/tool/html checks, in the page itself; the sites of `list --json` are in the element `wanted`. Each check
// leaves a line "ok NAME" or "not ok NAME: why" in what becomes of the page.
const lines = [];
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function check(name, wrong) {
    lines.push(wrong.length ? `not ok ${name}: ${wrong.length} wrong, the first: ${wrong[0]}` : `ok ${name}`);
}

const wanted = JSON.parse(document.getElementById('wanted').textContent);
const rows = [...document.querySelectorAll('main details')];
const searchBox = document.getElementById('search'), kindBox = document.getElementById('kind');

// What the eye sees, not what the page's script says.
const seen = () => rows.flatMap((row, n) => row.getClientRects().length ? [n] : []);

// A box that is left alone tells the page nothing.
function set(box, value, event) {
    if (box.value === value)
        return;
    box.value = value;
    box.dispatchEvent(new Event(event, { bubbles: true }));
}

function enter(text, kind) {
    set(searchBox, text, 'input');
    set(kindBox, kind, 'change');
    return seen();
}

function textOf(site) {
    const forms = site.forms.flatMap(form => [form.name, form.bytes, ...form.instructions.map(one => one.text)]);
    return [site.kind, site.symbol, site.key, site.feature, site.inside, site.address.slice(2),
        `${site.length} bytes`, `${site.file}:${site.line}`, ...forms].join('\n').toLowerCase();
}

const texts = wanted.sites.map(textOf);
function choose(text, kind) {
    const words = text.toLowerCase().split(' ').filter(word => word);
    return wanted.sites.flatMap((site, n) =>
        (!kind || site.kind === kind) && words.every(word => texts[n].includes(word)) ? [n] : []);
}

const all = wanted.sites.map((site, n) => n);
const kinds = [...new Set(wanted.sites.map(site => site.kind))];
// Words that some sites have and others have not: no others tell a search from none.
const words = [...new Set(wanted.sites.flatMap(site => [site.symbol, site.key, site.address.slice(2)]))]
    .concat(['wbinvd', '0f 01 f8', 'trace_entry', 'TRACE_ENTRY', 'call_ wbinvd', 'pv_ops.h trace_', 'own_ops  bytes'])
    .filter(word => word && !word.includes('\n'));

function compare(text, kind) {
    const found = enter(text, kind), chosen = choose(text, kind);
    const count = document.getElementById('count').textContent;
    if (!same(found, chosen))
        return [`"${text}" in "${kind}" shows ${found.length} rows and not ${chosen.length}`];
    return count.startsWith(`${chosen.length} of ${all.length} `) ? [] : [`"${text}" in "${kind}": it says "${count}"`];
}

function checkRows() {
    check('number', rows.length === wanted.sites.length && same(seen(), all) ? [] :
        [`${seen().length} of ${rows.length} rows are seen, of ${wanted.sites.length} sites`]);
    check('rows', rows.flatMap((row, n) => {
        const site = wanted.sites[n] ?? { forms: [] }, text = row.querySelector('summary').textContent;
        const parts = [site.kind, site.symbol, site.key, site.feature, site.inside, site.address?.slice(2),
            `${site.length} bytes`, site.file && `${site.file}:${site.line}`];
        const forms = [...row.querySelectorAll('tr')].map(line => [...line.cells].slice(0, 2).map(cell => cell.textContent));
        return parts.every(part => !part || text.includes(part)) &&
            same(forms, site.forms.map(form => [form.name, form.bytes])) ? [] : [`row ${n}: ${text}`];
    }));
}

function checkTargets() {
    const forms = wanted.sites.flatMap((site, n) => site.forms.map((form, m) =>
        ({ form, text: rows[n]?.querySelectorAll('tr')[m]?.cells[2].textContent ?? '' })));
    const direct = forms.filter(({ form }) => form.kind === 'direct');
    check('targets', direct.filter(({ form, text }) => !text.includes(form.target ?? '(target not known)') ||
        (form.target === null) !== form.bytes.includes('?')).map(({ form, text }) => `${form.bytes}: ${text}`)
        .concat(forms.filter(({ text }) => text.includes('text_start')).map(({ text }) => text)));
}

function checkControls() {
    check('search', words.flatMap(word => compare(word, '')).concat(compare('nosuchsite', '')));
    check('search tells apart', words.some(word => ![0, all.length].includes(choose(word, '').length)) ? [] : ['no word']);
    check('filter', kinds.flatMap(kind => compare('', kind)).concat(kinds.length > 1 ? [] : ['one kind']));
    check('both', kinds.flatMap(kind => words.flatMap(word => compare(word, kind))));
    enter('nosuchsite', kinds[0]);
    check('clearing', same(enter('', ''), all) ? [] : [`${seen().length} of ${all.length} rows are back`]);
    enter('', '');
    rows[0].querySelector('summary').click();
    check('opening', rows[0].open && rows[0].querySelector('table').getClientRects().length ? [] : ['no forms are seen']);
}

function checkRest() {
    check('requests', [...violations, ...performance.getEntriesByType('resource').map(entry => entry.name)]);
    check('escaping', [...document.querySelectorAll('#injected')].map(one => one.outerHTML).concat(
        document.querySelector('h1').textContent === wanted.kernel ? [] : [document.querySelector('h1').textContent]));
    check('script', errors);
}

addEventListener('load', () => {
    try {
        checkRows();
        checkTargets();
        checkControls();
        checkRest();
        lines.push('done');
    } catch (error) {
        lines.push(`not ok checks: ${error.stack}`);
    }
    const results = document.createElement('pre');
    results.textContent = `\n${lines.join('\n')}\n`;
    document.documentElement.replaceChildren(results);
});
