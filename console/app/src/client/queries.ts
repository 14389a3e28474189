import { useInfiniteQuery, useQuery, useQueryClient, type QueryClient } from '@tanstack/react-query';
import { api, done } from './api';

/** The lists that the console shows, as keys of the query cache. */
export const keys = {
  me: ['me'],
  sessions: ['sessions'],
  devices: ['devices'],
  users: ['users'],
  events: ['events'],
  roles: ['roles'],
  assignments: ['assignments'],
  teams: ['teams'],
  groups: ['groups'],
  connections: ['connections'],
  domains: ['domains'],
  providers: ['providers'],
  setupLinks: ['setupLinks'],
  localAccounts: ['localAccounts'],
  tokens: ['tokens'],
  services: ['services'],
  webhooks: ['webhooks'],
  settings: ['settings'],
  tenants: ['tenants'],
  alerts: ['alerts'],
  nodes: ['nodes'],
  factors: ['factors'],
  identities: ['identities'],
  brake: ['brake'],
  scimRequests: ['scimRequests'],
  google: ['google'],
} as const;

export function useMe() {
  return useQuery({ queryKey: keys.me, queryFn: () => done(api.GET('/v1/me')), staleTime: 60_000 });
}

/** Tells whether the caller holds a permission such as "gatehouse.users:write". */
export function useCan(): (permission: string) => boolean {
  const me = useMe();
  return (permission) => me.data?.permissions.includes(permission) ?? false;
}

/** How often is asked what no event of the caller's own log tells of. */
const often = 10_000;

/** What must be seen to now; nothing for who may not know. */
export function useAlerts() {
  const may = useCan()('gatehouse.audit:read');
  return useQuery({
    queryKey: keys.alerts,
    queryFn: () => done(api.GET('/v1/alerts', { params: { query: { limit: 200 } } })),
    refetchInterval: often,
    enabled: may,
  });
}

/** The gateway's nodes, as the one that answers knows them. */
export function useNodes() {
  return useQuery({
    queryKey: keys.nodes,
    queryFn: () => done(api.GET('/v1/platform/nodes', { params: { query: { limit: 200 } } })),
    refetchInterval: often / 5,
  });
}

interface Page<T> {
  items: T[];
  next_cursor: string;
}

/** A list that is read page by page. */
export function usePages<T>(key: readonly unknown[], read: (cursor: string | undefined) => Promise<Page<T>>, enabled = true) {
  const query = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) => read(pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last: Page<T>) => last.next_cursor || undefined,
    enabled,
  });
  return { ...query, items: query.data?.pages.flatMap((page) => page.items) ?? [] };
}

/** Reads lists again after a change. */
export function useRefresh(): (...lists: (readonly unknown[])[]) => Promise<void> {
  const client = useQueryClient();
  return (...lists) => refresh(client, ...lists);
}

export async function refresh(client: QueryClient, ...lists: (readonly unknown[])[]): Promise<void> {
  await Promise.all(lists.map((queryKey) => client.invalidateQueries({ queryKey })));
}
