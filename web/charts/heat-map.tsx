import type { Ref } from "preact";
import { theme } from "../shell/theme.ts";
import { heatColour } from "./heat-colours.ts";
import "./heat-map.css";
import { heatMapGeometry, stepCell, type TreeMerge } from "./heat-map-geometry.ts";

interface Props {
  readonly label: string;
  readonly names: readonly string[];
  readonly matrix: readonly (readonly (number | null)[])[];
  readonly order: readonly number[];
  readonly tree?: readonly TreeMerge[];
  readonly selected: readonly [number, number];
  readonly onSelect: (row: number, column: number) => void;
  readonly onPoint: (cell: readonly [number, number] | null) => void;
  /** A cell in words, for the pointer's tip. */
  readonly words: (row: number, column: number) => string;
  readonly drawing: Ref<SVGSVGElement>;
}

/** One stop of the tab key; arrows move the selection. */
export function HeatMap({ label, names, matrix, order, tree = [], selected, ...props }: Props) {
  const { onSelect, onPoint, words, drawing } = props;
  const map = heatMapGeometry(names, matrix, order, tree);
  const move = (event: KeyboardEvent) => {
    const next = stepCell(order, selected, event.key);
    if (next === null) return;
    event.preventDefault();
    onSelect(...next);
  };
  const mark = map.cells.find(({ row, column }) => row === selected[0] && column === selected[1]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys act here.
    <div class="heat-map" role="application" aria-label={`${label}. Arrow keys move.`} tabIndex={0} onKeyDown={move}>
      <svg
        ref={drawing}
        viewBox={`0 0 ${map.width} ${map.height}`}
        width={map.width}
        height={map.height}
        onPointerLeave={() => onPoint(null)}
        aria-hidden="true"
      >
        {map.names.map(({ name, at }, k) => (
          <g key={order[k]} class="heat-name">
            <text x={map.left - 6} y={at + 4} text-anchor="end">
              {name}
            </text>
            <text x={at + 4} y={map.top - 6} transform={`rotate(-90 ${at + 4} ${map.top - 6})`}>
              {name}
            </text>
          </g>
        ))}
        {map.cells.map(({ row, column, value, x, y }) => {
          const { fill, ink } = heatColour(value ?? 0, theme.value);
          return (
            // biome-ignore lint/a11y/noStaticElementInteractions: the same by keyboard on the whole map.
            <g
              key={`${row}/${column}`}
              class="heat-cell"
              onPointerEnter={() => onPoint([row, column])}
              onClick={() => onSelect(row, column)}
            >
              <title>{words(row, column)}</title>
              <rect x={x + 0.5} y={y + 0.5} width={map.size - 1} height={map.size - 1} rx="2" fill={fill} />
              {value === null && <path class="heat-absent" d={`M${x + 4} ${y + 4}l${map.size - 8} ${map.size - 8}`} />}
              {map.roomy && value !== null && (
                <text x={x + map.size / 2} y={y + map.size / 2 + 4} text-anchor="middle" fill={ink}>
                  {(value * 100).toFixed(0)}
                </text>
              )}
            </g>
          );
        })}
        {map.tree.map((path) => (
          <path key={path} class="heat-tree" d={path} />
        ))}
        {mark && <rect class="heat-mark" x={mark.x} y={mark.y} width={map.size} height={map.size} rx="3" />}
      </svg>
    </div>
  );
}
