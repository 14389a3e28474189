import {
  IconBrandGoogle, IconBuildingCommunity, IconDeviceLaptop, IconHierarchy2, IconKey, IconLifebuoy, IconListSearch, IconPlugConnected, IconRobot, IconServer2, IconSettings, IconShieldCheck, IconTransferIn, IconUserScreen, IconUsers, IconUsersGroup, IconWebhook,
} from '@tabler/icons-react';
import type { Me } from './client/api';

export interface Place {
  to: string;
  label: string;
  icon: typeof IconKey;
  /** What the caller must be allowed; absent: everybody. */
  needs?: string;
}

/** The console's places, in the order of the menu. */
export const places: Place[] = [
  { to: '/tenants', label: 'Tenants', icon: IconBuildingCommunity, needs: 'gatehouse.tenants:read' },
  { to: '/nodes', label: 'Nodes', icon: IconServer2, needs: 'gatehouse.tenants:read' },
  { to: '/sessions', label: 'Sessions & devices', icon: IconUserScreen, needs: 'gatehouse.sessions:read' },
  { to: '/users', label: 'Users', icon: IconUsers, needs: 'gatehouse.users:read' },
  { to: '/groups', label: 'Groups', icon: IconHierarchy2, needs: 'gatehouse.groups:read' },
  { to: '/provisioning', label: 'Provisioning', icon: IconTransferIn, needs: 'gatehouse.users:read' },
  { to: '/local-accounts', label: 'Local accounts', icon: IconLifebuoy, needs: 'gatehouse.users:read' },
  { to: '/events', label: 'Event log', icon: IconListSearch, needs: 'gatehouse.audit:read' },
  { to: '/roles', label: 'Roles', icon: IconShieldCheck, needs: 'gatehouse.roles:read' },
  { to: '/teams', label: 'Teams', icon: IconUsersGroup, needs: 'gatehouse.teams:read' },
  { to: '/connections', label: 'Connections', icon: IconPlugConnected, needs: 'gatehouse.connections:read' },
  { to: '/google', label: 'Google Workspace', icon: IconBrandGoogle, needs: 'gatehouse.settings:read' },
  { to: '/tokens', label: 'Tokens', icon: IconKey, needs: 'gatehouse.tokens:read' },
  { to: '/services', label: 'Services', icon: IconRobot, needs: 'gatehouse.services:read' },
  { to: '/webhooks', label: 'Webhooks', icon: IconWebhook, needs: 'gatehouse.webhooks:read' },
  { to: '/settings', label: 'Settings', icon: IconSettings, needs: 'gatehouse.settings:read' },
  { to: '/devices', label: 'My devices', icon: IconDeviceLaptop },
];

/** The places that are of use to this caller. */
export function placesFor(me: Me): Place[] {
  return places.filter((place) => !place.needs || me.permissions.includes(place.needs));
}
