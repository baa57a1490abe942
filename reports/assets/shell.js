// What every page does: counts what goes wrong (data-errors on <html>), and changes between light and dark.
(() => {
  'use strict';
  const root = document.documentElement;
  let errors = 0;
  const wrong = () => { root.dataset.errors = String(++errors); };
  root.dataset.errors = '0';
  addEventListener('error', wrong);
  addEventListener('unhandledrejection', wrong);
  addEventListener('pagewrong', wrong);
  root.classList.add('js');

  const dark = matchMedia('(prefers-color-scheme: dark)');
  const changed = () => dispatchEvent(new Event('themechange'));
  document.getElementById('theme').addEventListener('click', () => {
    const isDark = root.dataset.theme ? root.dataset.theme === 'dark' : dark.matches;
    root.dataset.theme = isDark ? 'light' : 'dark';
    changed();
  });
  dark.addEventListener('change', changed);
})();
