import { Button, Center } from '@mantine/core';
import type { ReactNode } from 'react';
import classes from './Rows.module.css';

/** A list whose rows stand in columns on a desk and stack on a phone. */
export function Rows({ label, children }: { label: string; children: ReactNode }) {
  return <ul className={classes.rows} aria-label={label}>{children}</ul>;
}

/** One row: what it is, facts about it, and what can be done. */
export function Row({ name, facts, actions, testId }: { name: ReactNode; facts?: ReactNode; actions?: ReactNode; testId?: string }) {
  return (
    <li className={classes.row} data-testid={testId}>
      <div className={classes.name}>{name}</div>
      {facts && <div className={classes.facts}>{facts}</div>}
      {actions && <div className={classes.actions}>{actions}</div>}
    </li>
  );
}

/** Reads the next page of a list. */
export function More({ query }: { query: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown } }) {
  if (!query.hasNextPage) return null;
  return (
    <Center>
      <Button variant="default" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>Show more</Button>
    </Center>
  );
}
