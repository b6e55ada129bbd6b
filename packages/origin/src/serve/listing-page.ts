import type { Catalogue, ServedFile } from "../catalogue/catalogue.js";

/** What `directoryBrowse` shows: the files that are published, nothing else of the folder. */
export function listingPage(directoryName: string, catalogue: Catalogue): string {
  const rows = catalogue
    .list()
    .flatMap(({ name, versions }) =>
      versions.flatMap((version) => [version, ...catalogue.deltasTo(name, version.version)]),
    )
    .flatMap(({ pack, index }) => [pack, index])
    .map(listingRow)
    .join("\n");
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${escapeHtml(directoryName)}</title>
<h1>${escapeHtml(directoryName)}</h1>
<table>
<tr><th>Name</th><th>Bytes</th><th>Date</th></tr>
${rows}
</table></html>
`;
}

function listingRow(file: ServedFile): string {
  const date = new Date(file.lastModified * 1000).toISOString();
  const name = escapeHtml(file.fileName);
  return `<tr><td><a href="./${encodeURIComponent(file.fileName)}">${name}</a></td><td>${file.size}</td><td>${date}</td></tr>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
