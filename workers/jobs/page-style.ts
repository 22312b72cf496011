/** How the pages look that jobs write for people: nothing is loaded from anywhere, light and dark. */
export const pageCss = `
:root{color-scheme:light dark}
body{margin:0;background:#fff;color:#1c2733;font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:26px;margin:0 0 6px}h2{font-size:18px;margin:34px 0 10px}
small{display:block;font-weight:400;color:#5b6875;font-size:11.5px}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px}
th,td{padding:6px 12px;border-bottom:1px solid #d9e0e7;text-align:right;vertical-align:bottom;font-variant-numeric:tabular-nums}
th{font-weight:600;max-width:120px}tbody th,.settings td,.settings th,thead th:first-child{text-align:left;max-width:none}tbody th{white-space:nowrap}
.settings td{overflow-wrap:anywhere}
.charts{display:flex;flex-wrap:wrap;gap:14px}figure{margin:0;max-width:100%;overflow-x:auto}
dl{columns:2 420px;font-size:13px}dt{font-weight:600;break-after:avoid}dt small{display:inline}dd{margin:0 0 8px;break-inside:avoid}
@media (prefers-color-scheme:dark){body{background:#12181f;color:#e8edf2}small{color:#9ba8b5}th,td{border-color:#2b3641}}`;
