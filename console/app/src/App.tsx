import { Route, Routes } from 'react-router';
import { useMe } from './client/queries';
import { Shell } from './Shell';
import { Failure, Loading } from './parts/States';
import { Connections } from './pages/Connections';
import { Events } from './pages/Events';
import { GroupDetail } from './pages/GroupDetail';
import { Groups } from './pages/Groups';
import { GoogleWorkspace } from './pages/GoogleWorkspace';
import { Home } from './pages/Home';
import { LocalAccounts } from './pages/LocalAccounts';
import { MyDevices } from './pages/MyDevices';
import { Nodes } from './pages/Nodes';
import { Provisioning } from './pages/Provisioning';
import { Roles } from './pages/Roles';
import { Services } from './pages/Services';
import { Sessions } from './pages/Sessions';
import { Settings } from './pages/Settings';
import { Teams } from './pages/Teams';
import { Tenants } from './pages/Tenants';
import { Tokens } from './pages/Tokens';
import { UserDetail } from './pages/UserDetail';
import { FormerUsers } from './pages/FormerUsers';
import { Users } from './pages/Users';
import { Webhooks } from './pages/Webhooks';

export function App() {
  const me = useMe();
  if (me.isPending) return <Loading what="the console" />;
  if (me.isError) return <Failure error={me.error} retry={() => void me.refetch()} />;
  return (
    <Shell me={me.data}>
      <Routes>
        <Route index element={<Home />} />
        <Route path="sessions" element={<Sessions />} />
        <Route path="users" element={<Users />} />
        <Route path="users/former" element={<FormerUsers />} />
        <Route path="users/:id" element={<UserDetail />} />
        <Route path="provisioning" element={<Provisioning />} />
        <Route path="groups" element={<Groups />} />
        <Route path="groups/:id" element={<GroupDetail />} />
        <Route path="local-accounts" element={<LocalAccounts />} />
        <Route path="events" element={<Events />} />
        <Route path="roles" element={<Roles />} />
        <Route path="teams" element={<Teams />} />
        <Route path="connections" element={<Connections />} />
        <Route path="settings" element={<Settings />} />
        <Route path="google" element={<GoogleWorkspace />} />
        <Route path="tokens" element={<Tokens />} />
        <Route path="services" element={<Services />} />
        <Route path="webhooks" element={<Webhooks />} />
        <Route path="devices" element={<MyDevices />} />
        <Route path="tenants" element={<Tenants />} />
        <Route path="nodes" element={<Nodes />} />
        <Route path="*" element={<Home />} />
      </Routes>
    </Shell>
  );
}
