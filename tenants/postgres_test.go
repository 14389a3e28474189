package tenants_test

import (
	"testing"

	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestConnectionsAreKeptWholeAcrossRestarts, TestWhoNamedPeopleBeforeIsNotedWithTheChange, TestPutConnectionReplacesWhatTheCallerHasSeen, TestP3_ConnectionsBelongToOneTenant,
		TestP6_ConnectionSecretsStayInside, TestConnectionsAreChecked, TestOAuth2ConnectionsAreKeptWholeAcrossRestarts,
		TestOAuth2ConnectionsAreChecked, TestP2_SuspendedMeansOut, TestP10_DeletionGoesInOrder,
		TestThePlatformIsATenantFromTheStart, TestATenantIsFoundByHostIDAndNameAcrossRestarts, TestTenantsAreChecked,
		TestUpdateChangesWhatItIsGivenAndNoMore, TestConcurrentUpdatesAllCount, TestP1_NothingChangesWithoutItsRecord, TestP1_WhatIsRecordedHappens,
		TestP10_DeletedTenantsAreGone, TestP10_ABrokenDeletionConverges, TestAFailedCreationLeavesNothing, TestP2_WhatIsSuspendedEndsUntold,
		TestP2_WhatIsOpenIsJudgedByNewSettings, TestRoleNetworksAreChecked, TestADomainIsVerifiedByItsRecord, TestASilentDNSVerifiesNothing,
		TestDomainsAreChecked, TestSecondFactorSettings, TestBrakeSettings, TestRetainSetting, TestRateSettings, TestSCIMSchemas, TestSCIMSchemasThatAreRefused, TestALogoIsKeptWithItsTenant, TestP10_ALogoIsSealed, TestATenantIsMadeWithALogo,
		TestAHangingChangeHoldsUpNobodyElse, TestChangesOfATenantWaitForEachOther, TestANameIsGivenOnce,
		TestOIDCSettingsAreChecked, TestWhereAnybodyHasAnAccountPeopleAreBounded, TestP2_WhatAnybodyCameByCanBeClosed, TestP2_WhatWasKeptOnceCanBeClosed, TestP2_ATenantAgainstTodaysRulesIsSuspended,
	}, "TestProvidersHaveGuides", "TestP2_RefreshNeverGoesBack", "TestP10_ALostRowIsNoDeletion", "TestWhatIsSaidWinsOverAPreset", "TestWhomAnOAuth2ConnectionTrusts", "TestWhatAConnectionTrustsAnew", "TestHowRequestsGoTrustsNobodyAnew", "TestWhoIsStillRuled", "TestIssuersForManyDirectories")
}
