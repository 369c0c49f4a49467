// Updates the page in place. What the reader has focused or opened stays so.
'use strict';
(() => {
	const every = Number(document.body.dataset.refresh) * 1000;
	const outdated = document.getElementById('outdated');
	let updated = new Date();

	const replace = (next) => {
		const focused = document.activeElement && document.activeElement.id;
		const open = new Set([...document.querySelectorAll('details[open]')].map((d) => d.id));
		for (const selector of ['#live', 'header', 'footer']) {
			const from = next.querySelector(selector), to = document.querySelector(selector);
			if (from && to && from.innerHTML !== to.innerHTML) {
				to.replaceWith(document.adoptNode(from));
			}
		}
		for (const d of document.querySelectorAll('details')) {
			d.open = open.has(d.id);
		}
		if (focused && document.activeElement !== document.getElementById(focused)) {
			const again = document.getElementById(focused);
			if (again) {
				again.focus({ preventScroll: true });
			}
		}
		document.title = next.title;
	};

	const headline = () => (document.querySelector('.headline') || document.querySelector('h1')).textContent.trim();

	let timer, updating = false;
	const update = async () => {
		if (updating || document.hidden) {
			return;
		}
		updating = true;
		try {
			const answer = await fetch(location.pathname, { headers: { Accept: 'text/html' }, signal: AbortSignal.timeout(30000) });
			if (!(answer.headers.get('Content-Type') || '').startsWith('text/html')) {
				throw new Error(String(answer.status));
			}
			const before = headline();
			replace(new DOMParser().parseFromString(await answer.text(), 'text/html'));
			if (headline() !== before) {
				document.getElementById('announcement').textContent = headline();
			}
			updated = new Date();
			outdated.hidden = true;
		} catch {
			if (outdated.hidden) {
				outdated.textContent = 'Not updated since ' + updated.toISOString().slice(11, 19) + ' UTC: chef-sync-ctl doesn’t answer.';
				outdated.hidden = false;
			}
		}
		updating = false;
		clearTimeout(timer);
		timer = setTimeout(update, every);
	};

	timer = setTimeout(update, every);
	document.addEventListener('visibilitychange', update);
})();
