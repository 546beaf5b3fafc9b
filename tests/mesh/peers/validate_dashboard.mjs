// Checks a Grafana dashboard against Grafana's own schema (npm @grafana/schema; for queries @grafana/grafana-foundation-sdk):
//   node validate_dashboard.mjs FILE
// Prints one JSON line, a list of faults, and exits 1 if there is any.
//
// Both packages publish the schema as TypeScript's types. The dashboard is written as literals of these types, each panel with the
// options of its kind, and TypeScript's compiler says what does not fit: wrong values, members that are missing, and members that
// Grafana does not know.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const PANELS = { timeseries: 'TimeSeries', stat: 'Stat', table: 'Table' };
const here = dirname(fileURLToPath(import.meta.url));

// Enums are nominal in TypeScript and plain in JSON.
const HEAD = `
import type * as g from '@grafana/schema';
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
${Object.entries(PANELS)
  .map(([kind, name]) => `import type * as ${kind} from '@grafana/schema/dist/esm/raw/composable/${kind}/panelcfg/x/${name}PanelCfg_types.gen';`)
  .join('\n')}
type Plain<T> = T extends string ? \`\${T}\` : T extends number | boolean | null | undefined ? T
  : T extends Array<infer U> ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Query = Plain<Omit<Dataquery, '_implementsDataqueryVariant'>>;
type Panel<O, F> = Plain<Omit<g.Panel, 'options' | 'targets' | 'fieldConfig'>> & {
  options: Plain<O>; targets: Query[];
  fieldConfig: Omit<Plain<g.FieldConfigSource>, 'defaults'> & { defaults: Omit<Plain<g.FieldConfig>, 'custom'> & { custom?: Plain<F> } } };
`;

function literals(dashboard) {
  const { panels, ...rest } = dashboard;
  const lines = panels.map((panel, index) => {
    const kind = panel.type;
    let type = `Panel<${kind}.Options, ${kind === 'stat' ? 'never' : `${kind}.FieldConfig`}>`;
    if (kind === 'row') type = 'Plain<g.RowPanel>';
    else if (!PANELS[kind]) return `const panel${index}: never = ${JSON.stringify(kind)};`;
    return `export const panel${index}: ${type} = ${JSON.stringify(panel, null, 1)};`;
  });
  return `${HEAD}\nexport const dashboard: Plain<Omit<g.Dashboard, 'panels'>> = ${JSON.stringify(rest, null, 1)};\n${lines.join('\n')}\n`;
}

function faults(text) {
  const file = join(here, 'dashboard.generated.ts');
  const settings = {
    strict: true, noEmit: true, skipLibCheck: true, types: [],
    module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, target: ts.ScriptTarget.ES2022,
  };
  const host = ts.createCompilerHost(settings);
  const [read, exists] = [host.getSourceFile, host.fileExists];
  host.getSourceFile = (name, ...more) => (name === file ? ts.createSourceFile(name, text, settings.target) : read.call(host, name, ...more));
  host.fileExists = (name) => name === file || exists.call(host, name);
  const program = ts.createProgram([file], settings, host);
  return ts.getPreEmitDiagnostics(program).map((one) => {
    const line = one.file && one.start !== undefined ? one.file.getLineAndCharacterOfPosition(one.start).line : -1;
    const near = one.file ? one.file.text.split('\n')[line].trim() : '';
    return `${ts.flattenDiagnosticMessageText(one.messageText, ' ')} (near: ${near})`;
  });
}

const found = faults(literals(JSON.parse(readFileSync(process.argv[2], 'utf8'))));
console.log(JSON.stringify(found));
process.exitCode = found.length > 0 ? 1 : 0;
