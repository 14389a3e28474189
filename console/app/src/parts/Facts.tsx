import { Tooltip } from '@mantine/core';
import type { ReactNode } from 'react';
import { ago, exactly } from '../words/time';
import classes from './Facts.module.css';

/** Short facts in columns: a small label over a value. */
export function Facts({ of }: { of: (readonly [string, ReactNode] | false | undefined)[] }) {
  return (
    <dl className={classes.facts}>
      {of.filter((fact) => fact !== false && fact !== undefined).map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A time in words, with the exact one at hand. */
export function When({ at }: { at: string }) {
  return (
    <Tooltip label={exactly(at)}>
      <time dateTime={at}>{ago(at)}</time>
    </Tooltip>
  );
}
